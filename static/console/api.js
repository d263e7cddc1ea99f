// Calls over HTTP, and the token they carry. The token is asked for once and kept for this browser tab only.
import { $, session } from './dom.js';
import { t } from './words.js';

// The page's own folder, so that it works behind a path prefix.
export const base = new URL('.', location.href);
base.search = base.hash = '';

let token = session.get('token');
const listeners = [];
export const hasToken = () => Boolean(token);
/// Calls back whenever a token was given.
export const onToken = listener => listeners.push(listener);
export const isAsking = () => !$('tokenbar').hidden;

/// `word` says why: tokenAsk, or adminAsk.
export function askForToken(word) {
  const words = $('tokenWords');
  words.dataset.t = token && word === 'tokenAsk' ? 'tokenBad' : word;
  words.textContent = t(words.dataset.t);
  if (isAsking()) return;
  $('tokenbar').hidden = false;
  $('token').focus();
}
$('tokenbar').onsubmit = event => {
  event.preventDefault();
  token = $('token').value.trim();
  session.set('token', token);
  $('token').value = '';
  $('tokenbar').hidden = true;
  for (const listener of listeners) listener();
};
$('tokenNot').onclick = () => { $('tokenbar').hidden = true; };

/// The WebSocket's address; a browser can give it no header, so the token goes into the query.
export function socketUrl() {
  const url = new URL(base);
  url.protocol = base.protocol === 'https:' ? 'wss:' : 'ws:';
  if (token) url.searchParams.set('_token', token);
  return url;
}

/// One call, a POST when there is a body (a value, or JSON text). Gives the data of `[0, data]`; throws an Error
/// with the server's words otherwise.
export async function call(name, body) {
  const options = { method: body === undefined ? 'GET' : 'POST', headers: {}, cache: 'no-store' };
  if (token) options.headers.Authorization = 'Bearer ' + token;
  if (body !== undefined) {
    options.headers['Content-Type'] = 'application/json';
    options.body = typeof body === 'string' ? body : JSON.stringify(body);
  }
  let response, text;
  try {
    response = await fetch(new URL(name, base), options);
    text = await response.text();
  } catch (e) {
    throw new Error(t('noAnswer') + e.message);
  }
  if (response.status === 401) askForToken('tokenAsk');
  let answer;
  try { answer = JSON.parse(text); } catch (e) { /* a transport error: one line of text */ }
  if (!Array.isArray(answer)) throw new Error(response.status + ' ' + text.trim().slice(0, 200));
  if (answer[0] === 2 && answer[2] === 'admin token required') askForToken('adminAsk');
  if (answer[0] !== 0) throw new Error(answer.join(' · '));
  return answer[1];
}
/// A query string.
export const query = values => '?' + new URLSearchParams(Object.entries(values).filter(([, value]) => value !== '' && value !== undefined));
