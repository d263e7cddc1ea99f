// A crontab line in words. Whether a line is right, and when it comes due, is the daemon's to say.
import { language } from './words.js';

const NAMED = { '@hourly': '0 * * * *', '@daily': '0 0 * * *', '@midnight': '0 0 * * *', '@weekly': '0 0 * * 0', '@monthly': '0 0 1 * *', '@yearly': '0 0 1 1 *', '@annually': '0 0 1 1 *' };
const MONTHS = ['jan', 'feb', 'mar', 'apr', 'may', 'jun', 'jul', 'aug', 'sep', 'oct', 'nov', 'dec'];
const DAYS = ['sun', 'mon', 'tue', 'wed', 'thu', 'fri', 'sat'];
const FIELDS = [[0, 59, []], [0, 23, []], [1, 31, []], [1, 12, MONTHS], [0, 7, DAYS]];

const EN = {
  months: ['January', 'February', 'March', 'April', 'May', 'June', 'July', 'August', 'September', 'October', 'November', 'December'],
  days: ['Sunday', 'Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday'],
  list: items => items.length < 2 ? items.join('') : items.slice(0, -1).join(', ') + ' and ' + items[items.length - 1],
  range: (a, b) => a + ' to ' + b,
  everyMinute: 'every minute', everyMinutes: n => 'every ' + n + ' minutes', atMinutes: list => 'at minute ' + list + ' of every hour',
  within: (what, hours) => what + ', ' + hours, hours: (a, b) => 'from ' + a + ' to ' + b, ofHours: list => 'in the hours ' + list, everyHours: n => 'every ' + n + ' hours',
  atMinutesOf: (minutes, hours) => 'at minute ' + minutes + ', ' + hours, at: list => 'at ' + list,
  onDays: list => 'on ' + list, onDates: (list, hasMonths) => 'on day ' + list + (hasMonths ? '' : ' of the month'), or: (a, b) => a + ' or ' + b, and: (a, b) => a + ' if that is ' + b.replace(/^on /, 'a '), inMonths: list => 'in ' + list,
  join: parts => { const text = parts.filter(Boolean).join(' '); return text.charAt(0).toUpperCase() + text.slice(1); },
  order: (time, days, months) => [time, days, months], everyDay: 'every day', onTheHour: 'every hour, on the hour',
};
const ZH = {
  months: [1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12].map(n => n + '月'),
  days: ['周日', '周一', '周二', '周三', '周四', '周五', '周六'],
  list: items => items.join('、'), range: (a, b) => a + '至' + b,
  everyMinute: '每分钟', everyMinutes: n => '每 ' + n + ' 分钟', atMinutes: list => '每小时的第 ' + list + ' 分',
  within: (what, hours) => hours + what, hours: (a, b) => a + ' 到 ' + b + '，', ofHours: list => list + ' 点，', everyHours: n => '每 ' + n + ' 小时，',
  atMinutesOf: (minutes, hours) => hours + '第 ' + minutes + ' 分', at: list => list,
  onDays: list => list, onDates: (list, hasMonths) => (hasMonths ? '' : '每月 ') + list + ' 日', or: (a, b) => a + '或' + b, and: (a, b) => a + '且为' + b, inMonths: list => list,
  join: parts => parts.filter(Boolean).join(' '), order: (time, days, months) => [months, days, time], everyDay: '每天', onTheHour: '每小时整点',
};

/// The values of a field in order, or null where it is none.
function values(text, [least, most, names]) {
  const found = new Set();
  const number = word => {
    const at = names.indexOf(word.toLowerCase());
    return at >= 0 ? at + (names === MONTHS ? 1 : 0) : /^\d+$/.test(word) ? Number(word) : NaN;
  };
  for (const item of text.split(',')) {
    const parts = /^(\*|(\w+)(?:-(\w+))?)(?:\/(\d+))?$/.exec(item);
    if (!parts) return null;
    const step = Number(parts[4] || 1);
    let [from, to] = [least, names === DAYS ? 6 : most];
    if (parts[2]) from = number(parts[2]), to = parts[3] ? number(parts[3]) : from;
    if (!step || [from, to].some(n => !(n >= least && n <= most))) return null;
    const size = (names === DAYS ? 6 : most) - least + 1;
    const length = from <= to ? to - from : to - from + size;
    for (let i = 0; i <= length; i += step) found.add(least + (from - least + i) % size);
  }
  return [...found].sort((a, b) => a - b);
}
/// Runs of three or more as ranges, the rest one by one.
function groups(list, word, w) {
  const items = [];
  for (let i = 0; i < list.length; i++) {
    let j = i;
    while (list[j + 1] === list[j] + 1) j++;
    if (j - i >= 2) { items.push(w.range(word(list[i]), word(list[j]))); i = j; } else items.push(word(list[i]));
  }
  return w.list(items);
}
/// The step of values that are spread evenly over all of a field, or 0.
function step(list, size) {
  const by = list[1] - list[0];
  return list.length > 1 && list[0] === 0 && size % by === 0 && list.length === size / by && list.every((n, i) => n === i * by) ? by : 0;
}
const two = n => String(n).padStart(2, '0');

function time(minutes, hours, w) {
  if (hours.length * minutes.length <= 6) return w.at(w.list(hours.flatMap(h => minutes.map(m => two(h) + ':' + two(m)))));
  const by = step(minutes, 60);
  const often = minutes.length === 60 ? w.everyMinute : by ? w.everyMinutes(by) : '';
  if (hours.length === 24 && minutes.join() === '0') return w.onTheHour;
  if (hours.length === 24) return often || w.atMinutes(groups(minutes, String, w));
  const isRun = hours.length > 1 && hours[hours.length - 1] - hours[0] === hours.length - 1;
  const everyHours = step(hours, 24);
  const when = isRun ? w.hours(two(hours[0]) + ':00', two(hours[hours.length - 1]) + ':59') : everyHours ? w.everyHours(everyHours) : w.ofHours(groups(hours, two, w));
  return often ? w.within(often, when) : w.atMinutesOf(groups(minutes, String, w), when);
}

/// The line in words, or nothing where it is none.
export function inWords(line) {
  const w = language() === 'zh' ? ZH : EN;
  const fields = (NAMED[line.trim()] || line).trim().split(/[ \t]+/);
  if (fields.length !== 5) return '';
  const sets = fields.map((field, i) => values(field, FIELDS[i]));
  if (sets.includes(null)) return '';
  const [minutes, hours, dates, months, days] = sets;
  const isStar = field => field.startsWith('*');
  const onDates = dates.length < 31 ? w.onDates(groups(dates, String, w), months.length < 12) : '';
  // From Monday on, as weeks are spoken of.
  const week = days.map(n => n || 7).sort((a, b) => a - b);
  const onDays = days.length < 7 ? w.onDays(groups(week, n => w.days[n % 7], w)) : '';
  let day = onDates || onDays;
  if (onDates && onDays) day = isStar(fields[2]) || isStar(fields[4]) ? w.and(onDates, onDays) : w.or(onDates, onDays);
  const inMonths = months.length < 12 ? w.inMonths(groups(months, n => w.months[n - 1], w)) : '';
  const at = time(minutes, hours, w);
  const isClock = hours.length * minutes.length <= 6;
  return w.join(w.order(at, day || (isClock && !inMonths ? w.everyDay : ''), inMonths));
}
/// A number of ms in words: `90 s`, `5 min`.
export function interval(ms) {
  const units = language() === 'zh' ? [['天', 864e5], ['小时', 36e5], ['分钟', 6e4], ['秒', 1000]] : [['days', 864e5], ['h', 36e5], ['min', 6e4], ['s', 1000]];
  const [name, size] = units.find(([, size]) => ms >= size && ms % size === 0) || units[3];
  return ms / size + ' ' + name;
}
