// Timers: those that are kept, when they ran and run next, what is done to them. The form is in timer_form.js.
import { call, query } from './api.js';
import { inWords, interval } from './cron.js';
import { $, atMost, button, el, later, result, whole } from './dom.js';
import { on } from './live.js';
import { editTimer, newTimer } from './timer_form.js';
import { language, onLanguage, t } from './words.js';

const TIMERS_ASKED = 200, TIMES_SHOWN = 5, SURE_MS = 5000;

let rows = [], failed = [], seen = '';
/// The timer whose details are shown, and the one that is about to be deleted.
let opened = null, doomed = null;
/// What is on the page: a key and the nodes of each row.
let drawn = [];
let detail = null;
const isShown = () => Boolean($('panelTimers').offsetParent);

const refresh = atMost(1000, async () => {
  if (!isShown()) return;
  try {
    [rows, failed] = await Promise.all([call('Timer.query' + query({ match: $('findTimer').value.trim(), limit: TIMERS_ASKED })), call('Timer.failed')]);
  } catch (e) { return result($('timersNote'), e.message, true); }
  show();
});

/// When a timer runs, in words, and as it was set.
function rhythm(row) {
  const cron = row.cron === undefined || row.cron === null ? '' : String(row.cron);
  if (Number(cron) === 1 || cron === 'true') return [t('everyTime', { time: interval(parseInt(row.wait, 10)) }), ''];
  if (!cron || cron === '0') return [t('kindOnce'), ''];
  return [inWords(cron) || cron, cron];
}
function show() {
  draw();
  $('timersCount').textContent = rows.length ? whole(rows.length) + (rows.length >= TIMERS_ASKED ? '+' : '') : '';
  $('timersTable').hidden = rows.length === 0;
  result($('timersNote'), rows.length >= TIMERS_ASKED ? t('firstOf', { n: TIMERS_ASKED }) : rows.length ? '' : $('findTimer').value ? t('none2') : t('noTimers'));
  $('failedTimers').hidden = failed.length === 0;
  $('failedRows').replaceChildren(...failed.slice(0, TIMERS_ASKED).map(row => el('tr', {},
    el('td', {}, el('code', { textContent: row.id }), ' ', el('span', { class: 'url', textContent: row.url })),
    el('td', { textContent: row.failedAt }), el('td', { class: 'doc', textContent: row.error }),
    el('td', { class: 'actions' }, action('tryAgain', 'Timer.retry', row), remover(row)))));
}
/// Draws only the rows that changed: whoever selects text or is at a button is not disturbed by a timer that ran.
function draw() {
  const keys = rows.map(row => JSON.stringify([row, opened === row.id, doomed === row.id, language()]));
  const focused = document.activeElement?.closest('#timerRows tr');
  const place = focused && [focused.dataset.id, [...focused.querySelectorAll('button')].indexOf(document.activeElement)];
  const isSame = drawn.length === rows.length && rows.every((row, i) => drawn[i].id === row.id);
  const before = drawn;
  drawn = rows.map((row, i) => isSame && before[i].key === keys[i] ? before[i] : { id: row.id, key: keys[i], nodes: timerRow(row) });
  if (!isSame) {
    $('timerRows').replaceChildren(...drawn.flatMap(row => row.nodes));
  } else {
    drawn.forEach((row, i) => {
      if (row === before[i]) return;
      before[i].nodes.slice(1).forEach(node => node.remove());
      before[i].nodes[0].replaceWith(...row.nodes);
    });
  }
  if (place && !document.activeElement.closest('#timerRows')) document.querySelector('#timerRows tr[data-id="' + place[0] + '"]')?.querySelectorAll('button')[place[1]]?.focus();
}
function timerRow(row) {
  const [words, cron] = rhythm(row);
  const isBad = row.failures > 0 || row.error;
  const tr = el('tr', { class: row.disabled ? 'off' : isBad ? 'failing' : '', dataset: { id: row.id } },
    el('td', { dataset: { label: t('timer') } },
      el('button', { type: 'button', class: 'plain name', textContent: row.code || '#' + row.id, title: t('details'), 'aria-expanded': String(opened === row.id), onclick: () => toggle(row) }),
      el('span', { class: 'url', textContent: row.url, title: row.url })),
    el('td', { dataset: { label: t('schedule') } }, words, cron ? el('code', { class: 'line', textContent: cron + (row.tz ? '  ' + row.tz : '') }) : null),
    el('td', { class: 'time', dataset: { label: t('next') }, textContent: row.error ? row.error : row.disabled ? t('paused') : row.nextRun || '–' }),
    el('td', { class: 'time', dataset: { label: t('last') } }, row.lastRun || '–', row.lastRun ? el('span', { class: 'status ' + (isBad ? 'bad' : ''), textContent: row.lastStatus + ' · ' + row.lastMs + ' ms' }) : null),
    el('td', { class: 'number', dataset: { label: t('runs') } }, whole(row.runs), row.failures ? el('span', { class: 'status bad', textContent: t('failuresNow', { n: row.failures }) }) : null),
    el('td', { class: 'actions' }, action('run', 'Timer.run', row), action(row.disabled ? 'resume' : 'pause', row.disabled ? 'Timer.enable' : 'Timer.disable', row),
      button(t('edit'), () => editTimer(row, refresh)), remover(row)));
  return opened === row.id ? [tr, detailRow(row)] : [tr];
}
function action(word, name, row) {
  return button(t(word), () => act(name, row));
}
async function act(name, row) {
  try { await call(name + query({ id: row.id })); } catch (e) { return result($('timersNote'), e.message, true); }
  refresh();
}
/// Asks once more, in place.
function remover(row) {
  const isSure = doomed === row.id;
  return button(t(isSure ? 'sure' : 'del'), () => {
    if (isSure) return act('Timer.del', row);
    doomed = row.id;
    setTimeout(() => { if (doomed === row.id) { doomed = null; show(); } }, SURE_MS);
    show();
  }, isSure ? 'plain bad' : 'plain');
}

// ---- one timer in detail ------------------------------------------------------------------------
function toggle(row) {
  opened = opened === row.id ? null : row.id;
  show();
}
function detailRow(row) {
  // What was there stays until the new is: nothing flickers.
  if (!detail || detail.id !== row.id) detail = { id: row.id, place: el('div', { class: 'detail' }) };
  fill(row, detail.place);
  return el('tr', { class: 'details' }, el('td', { colSpan: 6 }, detail.place));
}
async function fill(row, place) {
  const [, cron] = rhythm(row);
  const [runs, times] = await Promise.all([
    call('Timer.log' + query({ id: row.id })).catch(() => []),
    cron && !row.disabled && !row.error ? call('Timer.preview' + query({ cron, tz: row.tz, n: TIMES_SHOWN })).catch(() => null) : null,
  ]);
  const own = ['id', 'nextRun', 'lastRun', 'lastStatus', 'lastMs', 'lastLateMs', 'failures', 'runs', 'error'];
  const fields = Object.entries(row).filter(([name]) => !own.includes(name));
  place.replaceChildren(
    el('dl', {}, ...fields.map(([name, value]) => el('div', {}, el('dt', { textContent: name }),
      el('dd', { textContent: name === 'sign' ? '?' : typeof value === 'string' ? value : JSON.stringify(value) })))),
    times ? el('div', {}, el('h3', { textContent: t('nextTimes') + ' (' + times.tz + ')' }), el('ul', {}, ...times.list.map(time => el('li', { textContent: time.tm })))) : '',
    el('div', {}, el('h3', { textContent: t('lastRuns') }), runs.length ? el('table', {}, el('thead', {}, el('tr', {}, ...['runAt', 'status', 'took2', 'late', 'answer'].map(word => el('th', { scope: 'col', textContent: t(word) })))),
      el('tbody', {}, ...runs.map(run => el('tr', { class: run.ok ? '' : 'failing' }, el('td', { class: 'time', textContent: run.tm }), el('td', { textContent: run.status ?? '–' }),
        el('td', { class: 'number', textContent: run.ms + ' ms' }), el('td', { class: 'number', textContent: run.lateMs + ' ms' }), el('td', { class: 'doc', textContent: run.ret }))))) : el('p', { class: 'dim', textContent: t('noRuns') })));
}

$('addTimer').onclick = () => newTimer(refresh);
$('findTimer').oninput = later(250, refresh);
// Told of every change and every run; asked for again only then.
on('stat', ({ stat }) => {
  const now = [stat.start_time, stat.timers_changed, stat.timers_fired, stat.timers_failed, stat.timers_running].join();
  if (now === seen) return;
  seen = now;
  refresh();
});
export function showTimers() {
  show();
  refresh();
}
on('joined', refresh);
onLanguage(() => { if (isShown()) show(); });
