// The form of one timer: from its fields to a form and back. A change sends only what changed; null takes a field out.
import { call, query } from './api.js';
import { inWords } from './cron.js';
import { $, later, result } from './dom.js';
import { t } from './words.js';

const PREVIEWED = 4;
/// Fields that the form takes as they are; an empty one is none.
const TEXTS = ['url', 'code', 'method', 'tz', 'overlap', 'misfire', 'until'];
const NUMBERS = ['timeout', 'retry', 'retryWait', 'splay', 'maxRuns'];

let row = null, saved = () => {};
const field = name => $('timerForm').elements[name];

const isInterval = row => row.cron !== undefined && (Number(row.cron) === 1 || row.cron === true);
function kindOf(row) {
  if (isInterval(row)) return 'every';
  return row.cron && String(row.cron) !== '0' ? 'cron' : 'once';
}
/// How `data` is sent now.
function dataKind(row) {
  return row.data === undefined || typeof row.data !== 'object' ? 'text' : row.useJson ? 'json' : 'form';
}
function show(given, title) {
  const form = $('timerForm');
  form.reset();
  $('timerTitle').textContent = title;
  field('kind').value = kindOf(given);
  for (const option of field('kind').options) option.disabled = Boolean(row) && (option.value === 'once') !== (kindOf(row) === 'once');
  field('seconds').value = given.wait === undefined ? '' : parseInt(given.wait, 10) / 1000;
  field('cron').value = kindOf(given) === 'cron' ? given.cron : '';
  for (const name of [...TEXTS, ...NUMBERS]) field(name).value = given[name] ?? '';
  field('dataAs').value = dataKind(given);
  field('data').value = given.data === undefined ? '' : typeof given.data === 'string' ? given.data : JSON.stringify(given.data, null, 2);
  field('headers').value = (given.headers || []).join('\n');
  field('persist').checked = Boolean(given.persist);
  field('sign').placeholder = given.sign ? t('signHint') : '';
  $('timerMore').open = NUMBERS.concat('tz', 'overlap', 'misfire', 'until', 'method', 'persist').some(name => given[name] !== undefined);
  kindChanged();
  result($('timerResult'), '');
  $('timerDialog').showModal();
  field('url').focus();
}
/// Opens the form for a new timer; `done` is called once it is there.
export function newTimer(done) {
  [row, saved] = [null, done];
  show({ cron: '0 9 * * mon-fri' }, t('newTimer'));
}
export function editTimer(given, done) {
  [row, saved] = [given, done];
  show(given, t('editTimer', { id: given.code || '#' + given.id }));
}

function kindChanged() {
  const kind = field('kind').value;
  $('cronPart').hidden = kind !== 'cron';
  $('secondsPart').hidden = kind === 'cron';
  $('secondsLabel').textContent = t(kind === 'every' ? 'everyS' : 'inS');
  $('persistPart').hidden = kind !== 'once';
  preview();
}
/// The line in words and when it comes due next, as the daemon says.
async function showPreview() {
  const line = field('cron').value.trim(), place = $('cronPreview');
  if ($('cronPart').hidden || !line) return result(place, '');
  let times;
  try { times = await call('Timer.preview' + query({ cron: line, tz: field('tz').value.trim(), n: PREVIEWED })); } catch (e) {
    return result(place, e.message, true);
  }
  if (line !== field('cron').value.trim()) return;
  result(place, inWords(line));
  $('cronTimes').textContent = t('preview') + times.list.map(time => time.tm.slice(0, 16)).join(' · ') + (times.tz ? ' (' + times.tz + ')' : '');
}
const preview = () => {
  $('cronTimes').textContent = '';
  askPreview();
};
const askPreview = later(200, showPreview);

/// The fields that the form tells.
function fields() {
  const told = {};
  const kind = field('kind').value, seconds = field('seconds').value.trim();
  for (const name of TEXTS) told[name] = field(name).value.trim() || null;
  for (const name of NUMBERS) told[name] = field(name).value === '' ? null : Number(field(name).value);
  if (!told.url) throw new Error(t('needUrl'));
  told.cron = kind === 'cron' ? field('cron').value.trim() : kind === 'every' ? 1 : null;
  // A line may have a wait of its own: that stays.
  told.wait = kind === 'cron' ? (row && kindOf(row) === 'cron' && row.wait !== undefined ? row.wait : null) : Math.round(Number(seconds) * 1000);
  told.persist = kind === 'once' && field('persist').checked ? true : null;
  const text = field('data').value, as = field('dataAs').value;
  told.data = text === '' ? null : as === 'text' ? text : object(text);
  told.useJson = text !== '' && as === 'json' ? true : null;
  const headers = field('headers').value.split('\n').map(line => line.trim()).filter(Boolean);
  told.headers = headers.length ? headers : null;
  if (field('sign').value) told.sign = field('sign').value;
  return told;
}
function object(text) {
  let value;
  try { value = JSON.parse(text); } catch (e) { throw new Error(t('badData') + e.message); }
  if (value === null || typeof value !== 'object') throw new Error(t('badData') + text.slice(0, 40));
  return value;
}
const same = (a, b) => JSON.stringify(a ?? null) === JSON.stringify(b ?? null) || (a !== null && b !== undefined && b !== null && typeof a !== 'object' && String(a) === String(b));

$('timerForm').onsubmit = async event => {
  event.preventDefault();
  try {
    const told = Object.entries(fields());
    if (row) {
      const changed = told.filter(([name, value]) => !same(value, row[name] === false ? null : row[name]));
      if (changed.length) await call('Timer.set' + query({ id: row.id }), Object.fromEntries(changed));
    } else {
      await call('setTimeout', Object.fromEntries(told.filter(([, value]) => value !== null)));
    }
  } catch (e) { return result($('timerResult'), e.message, true); }
  $('timerDialog').close();
  saved();
};
$('timerCancel').onclick = () => $('timerDialog').close();
$('timerForm').elements.kind.onchange = kindChanged;
$('timerForm').elements.cron.oninput = preview;
$('timerForm').elements.tz.oninput = preview;
