// Try it: be a user of an app, see what arrives, send by HTTP and WebSocket, see who is online.
import { base, call, hasToken, isAsking, onToken, query } from './api.js';
import { compose, exactly, pushByHttp } from './compose.js';
import { $, atMost, button, clock, el, local, milliseconds, result, session, whole } from './dom.js';
import { Link } from './link.js';
import { on } from './live.js';
import { onLanguage, t } from './words.js';

const ROWS_MAX = 500;             // messages kept on the page; older ones go
const TEXT_CHARS_MAX = 4000;      // of one message shown at first; a button shows the rest
const USERS_ASKED = 1000, USERS_SHOWN = 200;

// ---- the connection ----------------------------------------------------------------------
const link = new Link({
  state: showState,
  joined: () => refresh(),
  text: received,
  reply(data) {
    const count = /^\d+$/.test(data);
    show(count ? 'reply' : 'fault', data);
    result($('result'), count ? 'WebSocket: ' + t('took', { n: data }) : data, !count);
  },
});
function showState() {
  const up = link.state === 'connected';
  $('state').className = 'state ' + link.mark();
  $('state').textContent = link.words();
  $('connectButton').textContent = t(up ? 'change' : 'connect');
  $('disconnect').disabled = !link.wanted;
  $('sendWs').disabled = !up;
}
function received(data) {
  if (typeof data !== 'string') return show('in', '[' + (data.size || 0) + ' bytes]');
  show(/^\*\*\* /.test(data) ? 'fault' : 'in', data);
}
function identify() {
  [link.app, link.user] = [$('app').value, $('user').value];
}
$('connectForm').onsubmit = event => {
  event.preventDefault();
  local.set('app', $('app').value);
  session.set('user', $('user').value);
  session.set('off', '');
  link.tries = 0;
  identify();
  if (link.state === 'connected' || link.state === 'refused' && link.socket) link.join(); else link.open();
};
$('disconnect').onclick = () => {
  session.set('off', '1');
  link.close();
};
onToken(() => { if (link.wanted) link.open(); });

// ---- sending -----------------------------------------------------------------------------
const typed = ac => ({ ac, app: $('app').value, user: $('to').value, msg: $('msg').value, asJson: $('asJson').checked });
const sendHttp = () => pushByHttp(typed(), $('result'));
function sendWs() {
  if (link.state !== 'connected') return result($('result'), t('notSent'), true);
  try {
    const push = compose(typed('push'));
    link.ask(push, 'push');
    show('sent', push);
  } catch (e) { result($('result'), e.message, true); }
}
$('sendForm').onsubmit = event => { event.preventDefault(); sendHttp(); };
$('sendWs').onclick = sendWs;
$('msg').onkeydown = event => {
  if (event.key !== 'Enter' || event.isComposing || !(event.ctrlKey || event.metaKey || event.shiftKey)) return;
  event.preventDefault();
  if (event.shiftKey) sendWs(); else sendHttp();
};

// ---- the message list --------------------------------------------------------------------
// Rows wait here and reach the page together, so a flood costs one layout, and never more
// than ROWS_MAX rows are held.
let queue = [], total = 0, unseen = 0, painting = 0;
const MARK = { in: '↓', reply: '=', sent: '↑', fault: '!' };

function show(kind, text) {
  total++;
  queue.push({ kind, text, at: new Date() });
  if (queue.length > ROWS_MAX) queue.shift();
  if (kind === 'in' && document.visibilityState !== 'visible') document.title = '(' + ++unseen + ') jdserver';
  if (!painting) painting = setTimeout(paint, 30);
}
document.addEventListener('visibilitychange', () => {
  if (document.visibilityState !== 'visible') return;
  unseen = 0;
  document.title = 'jdserver';
});
function paint() {
  painting = 0;
  const list = $('list');
  list.prepend(...queue.reverse().map(row));
  queue = [];
  while (list.childElementCount > ROWS_MAX) list.lastElementChild.remove();
  counted();
}
function counted() {
  const n = $('list').childElementCount;
  $('count').textContent = n < total ? t('dropped', { n, all: total }) : n || '';
  $('list').hidden = n === 0;
  $('empty').hidden = n > 0;
}
function row({ kind, text, at }) {
  const pre = el('pre'), tools = el('span', { class: 'tools' });
  const time = el('time', {}, clock(at), el('span', { textContent: milliseconds(at) }));
  const li = el('li', { class: kind }, time, el('span', { textContent: MARK[kind] }), pre);
  let isWhole = text.length <= TEXT_CHARS_MAX;
  const json = kind === 'in' && isJson(text);
  let indented = json && $('pretty').checked;
  const render = () => {
    const full = indented ? indent(text) : text;
    pre.textContent = isWhole ? full : full.slice(0, TEXT_CHARS_MAX) + '…';
    tools.replaceChildren();
    if (json) tools.append(button(indented ? t('asIs') : t('indent'), () => { indented = !indented; render(); }));
    if (!isWhole) tools.append(button(t('showAll', { n: full.length }), () => { isWhole = true; render(); }));
    if (tools.childElementCount) li.append(tools);
  };
  li.indent = on => { if (json) { indented = on; render(); } };
  render();
  return li;
}
function isJson(text) {
  if (!/^\s*[[{]/.test(text)) return false;
  try { JSON.parse(text); return true; } catch (e) { return false; }
}
/// JSON text on several lines, token by token, so that numbers stay as they were sent.
function indent(json) {
  const tokens = json.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g);
  let out = '', depth = 0;
  const line = () => '\n' + '  '.repeat(depth);
  tokens.forEach((token, i) => {
    const empty = /^[{[]$/.test(tokens[i - 1]);
    if (token === '{' || token === '[') {
      depth++;
      out += token + (/^[}\]]$/.test(tokens[i + 1]) ? '' : line());
    } else if (token === '}' || token === ']') {
      depth--;
      out += (empty ? '' : line()) + token;
    } else {
      out += token === ',' ? ',' + line() : token === ':' ? ': ' : token;
    }
  });
  return out;
}
$('pretty').onchange = () => { for (const li of $('list').children) li.indent($('pretty').checked); };
$('clear').onclick = () => {
  queue = [];
  total = 0;
  $('list').replaceChildren();
  counted();
};

// ---- who is online -----------------------------------------------------------------------
let drawn = '';
const refresh = atMost(1000, async () => {
  const app = $('app').value, note = $('onlineNote');
  if (!app || isAsking() && !hasToken()) return;
  let users;
  try { users = await call('getUsers' + query({ app, limit: USERS_ASKED })); } catch (e) {
    return result(note, e.message, true);
  }
  const counts = new Map();
  for (const user of users) counts.set(String(user), (counts.get(String(user)) || 0) + 1);
  // A focused button stays where it is: the list is drawn anew only when it changed.
  const key = JSON.stringify([app, [...counts]]);
  if (key !== drawn) {
    drawn = key;
    $('users').replaceChildren(...[...counts].slice(0, USERS_SHOWN).map(([user, n]) =>
      button((user || '""') + (n > 1 ? ' ×' + n : ''), () => { $('to').value = exactly(user); $('msg').focus(); }, '')));
  }
  $('onlineCount').textContent = users.length < USERS_ASKED ? users.length || '' : whole(USERS_ASKED) + '+';
  const more = counts.size - USERS_SHOWN;
  result(note, more > 0 ? t('more', { n: whole(more) + (users.length < USERS_ASKED ? '' : '+') }) : users.length ? '' : t('nobody'));
});
on('moves', ({ moves, more }) => {
  if (more || moves.some(move => move[1] === $('app').value)) refresh();
});
on('joined', () => refresh());
$('refresh').onclick = () => refresh();
$('app').onchange = () => { sample(); refresh(); };
onToken(() => refresh());

// ---- start -------------------------------------------------------------------------------
function sample() {
  const quoted = text => "'" + text.replace(/'/g, "'\\''") + "'";
  $('sample').textContent = 'curl ' + quoted(new URL('push', base) + '?app=' + encodeURIComponent($('app').value || 'app1') + '&user=*') + ' -d msg=hello' +
    (hasToken() ? ' -H "Authorization: Bearer $TOKEN"' : '');
}
onLanguage(() => { showState(); counted(); drawn = ''; sample(); refresh(); });

export function startTry(given) {
  $('app').value = given.get('app') || local.get('app') || 'app1';
  $('user').value = given.get('user') || session.get('user') || 'user' + (100 + Math.floor(Math.random() * 900));
  identify();
  sample();
  if (!session.get('off')) link.open();
}
