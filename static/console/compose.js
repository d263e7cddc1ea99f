// A push, from what was typed.
import { call } from './api.js';
import { result } from './dom.js';
import { t } from './words.js';

/// A push as JSON text; an Error where the message should be JSON and is not. JSON goes in as it was typed: through
/// JSON.parse long integers would change.
export function compose({ ac, app, user, msg, asJson }) {
  if (asJson) {
    try { JSON.parse(msg); } catch (e) { throw new Error(t('badJson') + e.message); }
  }
  const head = JSON.stringify({ ac, app, user });
  return head.slice(0, -1) + ',"msg":' + (asJson ? msg : JSON.stringify(msg)) + '}';
}
/// Pushes by HTTP and says in `place` how many took it.
export async function pushByHttp(push, place) {
  const changed = !push.asJson && /[<>]/.test(push.msg);
  try {
    result(place, t('took', { n: await call('push', compose(push)) }) + (changed ? t('escaped') : ''));
  } catch (e) { result(place, e.message, true); }
}
/// A pattern for one user: special characters escaped; what a list or HTTP would change, `?`.
export function exactly(user) {
  return user.replace(/[\\*?[]/g, '\\$&').replace(/[,<>]/g, '?');
}
/// A pattern that finds a part of a name; what is a pattern already stays.
export function partly(text) {
  return !text || /[*?[]/.test(text) ? text : '*' + text.replace(/[\\<>]/g, '?') + '*';
}
