// Settings: every one with its value and what it is for; those that may change at run time can be changed here.
import { call, query } from './api.js';
import { $, button, el, result } from './dom.js';
import { on } from './live.js';
import { language, onLanguage, t } from './words.js';

let rows = [];
const isShown = () => Boolean($('panelSettings').offsetParent);

async function load() {
  try { rows = await call('getSettings' + query({ lang: language() })); } catch (e) { return result($('settingsNote'), e.message, true); }
  show();
}
function show() {
  const find = $('findSetting').value.trim().toLowerCase();
  const shown = rows.filter(row => !find || [row.name, row.doc || '', row.value].some(text => text.toLowerCase().includes(find)));
  $('settingRows').replaceChildren(...shown.map(tableRow));
}
function tableRow(row) {
  const from = row.origin === 'default' ? '' : t('from_' + row.origin);
  return el('tr', { class: row.origin === 'default' ? '' : 'changed' },
    el('th', { scope: 'row' }, el('code', { textContent: row.name })),
    el('td', { dataset: { label: t('value') } }, row.when === 'now' ? editor(row) : el('code', { textContent: shown(row) })),
    el('td', { class: 'dim nowrap', dataset: { label: t('origin') }, textContent: from }),
    el('td', { class: 'dim', dataset: { label: t('def') } }, row.default ? el('code', { textContent: row.default }) : null),
    el('td', { class: 'dim nowrap', dataset: { label: t('effect') }, textContent: t('when_' + row.when) }),
    el('td', { class: 'doc', dataset: { label: t('what') }, title: row.range || '' }, docOf(row)));
}
const shown = row => row.value === '?' ? t('isSet') : row.value || '–';
/// Words with `names` in them.
function docOf(row) {
  const parts = (row.doc === undefined ? t('ofPlugin') : row.doc.replace(/&lt;/g, '<').replace(/&gt;/g, '>')).split('`');
  return el('span', {}, ...parts.map((part, i) => i % 2 ? el('code', { textContent: part }) : part));
}
function editor(row) {
  const field = row.words ? el('select', {}, ...row.words.map(word => el('option', { value: word, textContent: word }))) :
    el('input', { autocomplete: 'off', spellcheck: false, title: row.range || '', placeholder: row.example || '', size: 12 });
  field.value = row.value;
  field.setAttribute('aria-label', row.name);
  const apply = button(t('apply'), () => {}, 'small');
  apply.type = 'submit';
  apply.hidden = true;
  field.oninput = () => { apply.hidden = field.value === row.value; };
  const form = el('form', { class: 'inline' }, field, apply);
  form.onsubmit = event => {
    event.preventDefault();
    set(row.name, field.value);
  };
  return form;
}
async function set(name, value) {
  try {
    // An empty value is one: it empties a list.
    await call('conf?' + new URLSearchParams({ ['conf_' + name]: value }));
    result($('settingsNote'), t('setTo', { name, value: value || '–' }));
    await load();
  } catch (e) { result($('settingsNote'), e.message, true); }
}
$('reload').onclick = async () => {
  try {
    await call('reload');
    result($('settingsNote'), t('reloaded'));
    await load();
  } catch (e) { result($('settingsNote'), e.message, true); }
};
$('findSetting').oninput = show;
export const showSettings = load;
on('joined', () => { if (isShown()) load(); });
onLanguage(() => { if (isShown()) load(); });
