// The page: its panels and keys. Each panel is a module of its own; what happens in the daemon comes from live.js.
import { $, local } from './dom.js';
import { redraw } from './charts.js';
import { start } from './live.js';
import { showLog } from './logs.js';
import { showNumbers } from './numbers.js';
import { showSettings } from './settings.js';
import { showTimers } from './timers.js';
import { startTry } from './try.js';
import { showUsersPanel } from './users.js';
import { language, onLanguage, speak, switchLanguage, t } from './words.js';

const PANELS = ['Try', 'Users', 'Timers', 'Log', 'Settings', 'Numbers'];
const SHOW = {
  Users: showUsersPanel, Timers: showTimers, Log: showLog, Settings: showSettings,
  Numbers() { showNumbers(); redraw(); },
};
const tabs = PANELS.map(name => $('tab' + name));

function select(name) {
  PANELS.forEach((panel, i) => {
    const isIt = panel === name;
    $('panel' + panel).hidden = !isIt;
    tabs[i].setAttribute('aria-selected', String(isIt));
    tabs[i].tabIndex = isIt ? 0 : -1;
  });
  local.set('panel', name);
  tabs[PANELS.indexOf(name)].scrollIntoView({ block: 'nearest', inline: 'nearest' });
  if (SHOW[name]) SHOW[name]();
}
const selected = () => PANELS.find(name => !$('panel' + name).hidden);

tabs.forEach((tab, i) => {
  tab.onclick = () => select(PANELS[i]);
  tab.onkeydown = event => {
    const step = { ArrowRight: 1, ArrowLeft: -1 }[event.key];
    const to = step ? (i + step + PANELS.length) % PANELS.length : { Home: 0, End: PANELS.length - 1 }[event.key];
    if (to === undefined) return;
    event.preventDefault();
    select(PANELS[to]);
    tabs[to].focus();
  };
});
const SEARCH = { Users: 'findUser', Timers: 'findTimer', Log: 'findLine', Settings: 'findSetting' };
document.onkeydown = event => {
  const isTyping = /^(INPUT|TEXTAREA|SELECT)$/.test(event.target.tagName) || $('timerDialog').open;
  if (isTyping || event.ctrlKey || event.metaKey || event.altKey) return;
  const at = Number(event.key) - 1;
  if (PANELS[at]) {
    select(PANELS[at]);
    tabs[at].focus();
  } else if (event.key === '/' && SEARCH[selected()]) {
    event.preventDefault();
    $(SEARCH[selected()]).focus();
  }
};
$('lang').onclick = switchLanguage;
onLanguage(() => {
  $('lang').textContent = t('other');
  $('manual').href = 'manual/' + language() + '/';
});

// #app=shop&user=7 opens the page as that user, #panel=Timers a panel; a fragment never reaches the server.
const given = new URLSearchParams(location.hash.slice(1));
speak();
startTry(given);
const wanted = given.has('app') ? 'Try' : given.get('panel') || local.get('panel');
select(PANELS.includes(wanted) ? wanted : 'Try');
start();
