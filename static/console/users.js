// Users: the apps and how many are connected, the users of one, a push to them, and who comes and goes.
import { call, query } from './api.js';
import { exactly, partly, pushByHttp } from './compose.js';
import { $, atMost, button, clock, el, later, result, whole } from './dom.js';
import { on } from './live.js';
import { onLanguage, t } from './words.js';

const APPS_ASKED = 200, USERS_ASKED = 500, MOVES_SHOWN = 200;

let apps = [], appsTotal = 0, found = null, chosen = '', users = [], drawn = '';
const isShown = () => Boolean($('panelUsers').offsetParent);

// ---- apps: told live; asked for only to find one among many --------------------------------
on('apps', event => {
  apps = event.apps.map(([app, count]) => ({ app, count }));
  appsTotal = event.total;
  if (!chosen && apps.length) choose(apps.find(row => row.app !== '_console') || apps[0]);
  if (isShown()) showApps();
});
async function findApps() {
  const text = $('findApp').value.trim();
  try { found = text ? await call('getApps' + query({ match: partly(text), limit: APPS_ASKED })) : null; } catch (e) { found = []; }
  showApps();
}
function showApps() {
  const rows = [...(found || apps)].sort((a, b) => b.count - a.count || (a.app < b.app ? -1 : 1));
  const focused = document.activeElement && document.activeElement.dataset.app;
  $('appRows').replaceChildren(...rows.map(row => el('tr', { class: row.app === chosen ? 'chosen' : '' },
    el('td', {}, el('button', { type: 'button', class: 'plain name', textContent: row.app || '""', dataset: { app: row.app }, 'aria-pressed': String(row.app === chosen), onclick: () => choose(row) })),
    el('td', { class: 'number', textContent: whole(row.count) }))));
  // Drawn anew under the hands of who uses the keyboard: the focus stays.
  if (focused !== undefined) [...$('appRows').querySelectorAll('button')].find(b => b.dataset.app === focused)?.focus();
  const total = found ? rows.length : appsTotal;
  $('appsCount').textContent = total || '';
  result($('appsNote'), !rows.length ? t(found ? 'none2' : 'noApps') : !found && appsTotal > rows.length ? t('firstOf', { n: rows.length }) : '');
}
function choose(row) {
  chosen = row.app;
  $('findUser').value = '';
  $('pushTo').value = '*';
  users = [];
  showTitles();
  showApps();
  refresh();
}
function showTitles() {
  $('usersTitle').textContent = chosen ? t('usersOf', { app: chosen }) : t('pickApp');
  $('pushTitle').textContent = t('push', { app: chosen || '…' });
}

// ---- users of the chosen app ----------------------------------------------------------------
const refresh = atMost(1000, async () => {
  if (!chosen || !isShown()) return;
  const app = chosen, match = partly($('findUser').value.trim());
  try {
    const rows = await call('getUsers' + query({ app, match, limit: USERS_ASKED }));
    if (app === chosen) users = rows;
    result($('usersNote'), '');
  } catch (e) { return result($('usersNote'), e.message, true); }
  showUsers();
});
function showUsers() {
  const counts = new Map();
  for (const user of users) counts.set(String(user), (counts.get(String(user)) || 0) + 1);
  // A focused button stays where it is: the list is drawn anew only when it changed.
  const key = JSON.stringify([chosen, [...counts]]);
  if (key !== drawn) {
    drawn = key;
    $('userNames').replaceChildren(...[...counts].map(([user, n]) =>
      button((user || '""') + (n > 1 ? ' ×' + n : ''), () => { $('pushTo').value = exactly(user); $('pushMsg').focus(); }, '')));
  }
  $('usersCount').textContent = users.length < USERS_ASKED ? users.length || '' : '';
  result($('usersNote'), users.length >= USERS_ASKED ? t('firstOf', { n: USERS_ASKED }) : users.length || !chosen ? '' : t('none2'));
}
$('pushForm').onsubmit = event => {
  event.preventDefault();
  if (chosen) pushByHttp({ app: chosen, user: $('pushTo').value, msg: $('pushMsg').value, asJson: $('pushJson').checked }, $('pushResult'));
};

// ---- who comes and goes -----------------------------------------------------------------------
on('moves', ({ moves, more }) => {
  const at = clock(new Date());
  const list = $('moves');
  const rows = moves.map(([sign, app, user, number]) => el('li', { class: sign === '+' ? 'in' : 'out' },
    el('time', { textContent: at }), el('b', { textContent: sign }), el('span', { textContent: app + ' / ' + user }), el('i', { textContent: '#' + number })));
  if (more) rows.push(el('li', {}, el('time', { textContent: at }), el('span', { textContent: t('leftOut', { n: more }) })));
  list.prepend(...rows.reverse());
  while (list.childElementCount > MOVES_SHOWN) list.lastElementChild.remove();
  $('noMoves').hidden = true;
  if (more || moves.some(move => move[1] === chosen)) refresh();
});

$('findApp').oninput = later(200, findApps);
$('findUser').oninput = later(200, refresh);
export function showUsersPanel() {
  showTitles();
  showApps();
  refresh();
}
on('joined', () => { if (isShown()) refresh(); });
onLanguage(() => { showTitles(); showApps(); showUsers(); });
