// What happens in the daemon, told over its own WebSocket under the app _console. Panels say what they want to hear of.
import { askForToken, call, isAsking, onToken } from './api.js';
import { Link } from './link.js';
import { $ } from './dom.js';
import { onLanguage, t } from './words.js';

const listeners = {};
/// Calls back for every event of that kind: stat, apps, row, moves, log; and `joined` whenever the link is new.
export function on(kind, listener) {
  (listeners[kind] = listeners[kind] || []).push(listener);
}
function tell(kind, event) {
  for (const listener of listeners[kind] || []) listener(event);
}

const link = new Link({
  state: show,
  joined: () => tell('joined'),
  reply: () => {},
  text(data) {
    if (/^\*\*\* /.test(data)) return;
    let event;
    try { event = JSON.parse(data); } catch (e) { return; }
    tell(event.ev, event);
  },
});
link.app = '_console';
link.user = 'c' + Math.random().toString(36).slice(2, 10);

function show() {
  const mark = $('live');
  mark.className = 'state ' + link.mark();
  mark.textContent = link.state === 'connected' ? t('live') : link.state === 'waiting' || link.state === 'refused' ? link.words() : t('liveLost');
  if (link.state === 'refused' && /admin token/.test(link.detail.text)) askForToken('adminAsk');
}

/// Begins: a call first, for it tells whether a token is needed before the WebSocket fails for that.
export async function start() {
  try { await call('stat'); } catch (e) {
    if (isAsking()) return link.set('token');
  }
  link.open();
}
onToken(() => { link.tries = 0; link.open(); });
onLanguage(show);
