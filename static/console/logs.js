// Log: the last lines, found by text, and new ones as they are written.
import { call, query } from './api.js';
import { $, el, later, result } from './dom.js';
import { on } from './live.js';
import { onLanguage, t } from './words.js';

const LINES_SHOWN = 1000;

// `=== REQ from [ADDR] at [YYYY-MM-DD HH:MM:SS] text`, as the contract has it.
const LINE = /^=== REQ (?:from \[([^\]]*)\] )?at \[(\d{4}-\d\d-\d\d) ([\d:]{8})\] ([^]*)$/;
let held = null, last = 0;
const isShown = () => Boolean($('panelLog').offsetParent);

function line([number, file, text]) {
  const parts = LINE.exec(text);
  return el('li', { class: file, dataset: { number } },
    el('time', { textContent: parts ? parts[3] : '', title: parts ? parts[2] : '' }),
    el('b', { textContent: t('log_' + file) }),
    el('span', { textContent: parts ? (parts[1] && parts[1] !== 'nil' ? parts[1] + '  ' : '') + parts[4] : text }));
}
function matches([, file, text]) {
  const wanted = $('logFile').value, find = $('findLine').value.toLowerCase();
  return (!wanted || file === wanted) && text.toLowerCase().includes(find);
}
async function load() {
  let told;
  try { told = await call('logTail' + query({ file: $('logFile').value, match: $('findLine').value, limit: LINES_SHOWN })); } catch (e) {
    return result($('logNote'), e.message, true);
  }
  last = Math.max(last, told.last);
  held = held && [];
  $('lines').replaceChildren(...told.lines.map(line));
  toEnd(true);
  note();
}
function append(lines, more) {
  const list = $('lines');
  const wasAtEnd = list.scrollHeight - list.scrollTop - list.clientHeight < 30;
  if (more) list.append(el('li', { class: 'gap', textContent: t('linesLost', { n: more }) }));
  list.append(...lines.map(line));
  while (list.childElementCount > LINES_SHOWN) list.firstElementChild.remove();
  toEnd(wasAtEnd);
  note();
}
function toEnd(yes) {
  if (yes) $('lines').scrollTop = $('lines').scrollHeight;
}
function note() {
  result($('logNote'), held && held.length ? t('held', { n: held.length }) : $('lines').childElementCount ? '' : t('logEmpty'));
  $('hold').textContent = t(held ? 'follow' : 'hold');
  $('hold').setAttribute('aria-pressed', String(Boolean(held)));
}
on('log', ({ lines, more }) => {
  // What was loaded meanwhile is here already.
  const fresh = lines.filter(line => line[0] > last);
  if (fresh.length) last = fresh[fresh.length - 1][0];
  if (!isShown()) return;
  const wanted = fresh.filter(matches);
  if (!held) {
    if (wanted.length || more) append(wanted, more);
    return;
  }
  held.push(...wanted);
  if (held.length > LINES_SHOWN) held.splice(0, held.length - LINES_SHOWN);
  note();
});
$('hold').onclick = () => {
  const waiting = held;
  held = held ? null : [];
  if (waiting) append(waiting, 0); else note();
};
$('logFile').onchange = load;
$('findLine').oninput = later(250, load);
export const showLog = load;
on('joined', () => { if (isShown()) load(); });
onLanguage(() => {
  const chosen = $('logFile').value;
  $('logFile').replaceChildren(...['', 'server', 'trace', 'slow', 'debug'].map(file => el('option', { value: file, textContent: t(file ? 'log_' + file : 'allLogs') })));
  $('logFile').value = chosen;
  note();
  if (isShown()) load();
});
