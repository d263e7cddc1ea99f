// The last hour as small charts: statHistory once, then a row every ten seconds. A row's values are drawn as they are
// (gauges), by the second, or, where little happens, as what the last minute counted.
import { call } from './api.js';
import { $, bytes, clock, el, rate, svg, whole } from './dom.js';
import { on } from './live.js';
import { onLanguage, t } from './words.js';

const HOUR_S = 3600, LEAST_S = 300, ROWS_MAX = 360;
const WIDTH = 300, HEIGHT = 60;

const perSecond = { unit: 'perS', show: rate };
// In the order shown; the first six are in the strip too. `of`: names of columns, added up; `stat`: the same in `stat`.
const CHARTS = [
  { name: 'connections', of: ['connections'], stat: ['connection_num'], show: whole },
  { name: 'users', of: ['users'], stat: ['user_num'], show: whole },
  { name: 'input', of: ['requests', 'messages'], stat: ['request_count'], ...perSecond },
  { name: 'delivered', of: ['delivered'], stat: ['delivered_messages'], ...perSecond },
  { name: 'sent', of: ['sent_bytes'], stat: ['total_send_bytes'], unit: 'perS', show: bytes },
  { name: 'fired', of: ['timers_fired'], unit: 'perMin', show: rate },
  { name: 'received', of: ['received_bytes'], stat: ['total_recv_bytes'], unit: 'perS', show: bytes },
  { name: 'queued', of: ['queued_bytes'], stat: ['queued_bytes'], show: bytes },
  { name: 'dropped', of: ['dropped'], stat: ['dropped_messages'], ...perSecond },
  { name: 'pending', of: ['timers_pending'], stat: ['timers_pending'], show: whole },
  { name: 'failed', of: ['timers_failed'], unit: 'perMin', show: rate },
];
const STRIP = 6;

let names = [], rows = [], interval = 10;
/// The time that is drawn, in seconds: as long as there is something to draw, up to an hour.
let length = HOUR_S;
let lastStat = null;
const cards = [];

class Card {
  constructor(chart) {
    this.chart = chart;
    this.title = el('span', { class: 'name' });
    this.value = el('span', { class: 'value', textContent: '–' });
    this.area = svg('path', { class: 'area' });
    this.line = svg('path', { class: 'line', 'vector-effect': 'non-scaling-stroke' });
    this.cursor = svg('line', { class: 'cursor', y1: 0, y2: HEIGHT, 'vector-effect': 'non-scaling-stroke', visibility: 'hidden' });
    this.most = el('span', { class: 'most' });
    this.plot = svg('svg', { viewBox: '0 0 ' + WIDTH + ' ' + HEIGHT, preserveAspectRatio: 'none', role: 'img' }, this.area, this.line, this.cursor);
    this.plot.onpointermove = event => this.point(event);
    this.plot.onpointerleave = () => this.leave();
    this.element = el('figure', { class: 'chart' }, el('figcaption', {}, this.title, this.most, this.value), this.plot);
    this.present = '–';
  }
  unit() {
    return this.chart.unit ? t(this.chart.unit) : '';
  }
  amounts() {
    const columns = this.chart.of.map(name => names.indexOf(name));
    const sums = rows.map(row => columns.reduce((sum, at) => sum + (row[at] || 0), 0));
    if (this.chart.unit === 'perS') return sums.map(sum => sum / interval);
    if (this.chart.unit !== 'perMin') return sums;
    const minute = 60 / interval;
    return sums.map((_, i) => sums.slice(Math.max(0, i + 1 - minute), i + 1).reduce((a, b) => a + b, 0));
  }
  draw(end) {
    this.title.textContent = t('c_' + this.chart.name);
    // A scale of at least one: a line of zeros lies at the bottom.
    const amounts = this.shown = this.amounts();
    const most = Math.max(0, ...amounts);
    const scale = Math.max(most, this.chart.unit === 'perS' ? 0.1 : 1) * 1.08;
    const x = row => WIDTH * (1 - (end - row[0]) / length), y = i => HEIGHT - 1 - (HEIGHT - 2) * amounts[i] / scale;
    let line = '', area = '', start = null, before = null;
    const stop = () => { if (start !== null) area += 'L' + x(before).toFixed(1) + ',' + HEIGHT + 'L' + start + ',' + HEIGHT + 'Z'; };
    for (const [i, row] of rows.entries()) {
      const place = x(row).toFixed(1) + ',' + y(i).toFixed(1);
      if (!before || row[0] - before[0] > 3 * interval) {
        stop();
        start = x(row).toFixed(1);
        line += 'M' + place;
        area += 'M' + place;
      } else {
        line += 'L' + place;
        area += 'L' + place;
      }
      before = row;
    }
    stop();
    this.line.setAttribute('d', line);
    this.area.setAttribute('d', area);
    this.most.textContent = rows.length ? '≤ ' + this.chart.show(most) + this.unit() : '';
    if (this.chart.unit === 'perMin' && rows.length) this.tell(this.chart.show(amounts[rows.length - 1]) + this.unit());
    this.plot.setAttribute('aria-label', t('c_' + this.chart.name) + ': ' + this.present + ', ' + this.most.textContent);
  }
  /// The value under the pointer, with its time.
  point(event) {
    if (!rows.length || !this.shown) return;
    const box = this.plot.getBoundingClientRect();
    const at = rows[rows.length - 1][0] - length * (1 - (event.clientX - box.left) / box.width);
    const nearest = rows.reduce((best, row, i) => Math.abs(row[0] - at) < Math.abs(rows[best][0] - at) ? i : best, 0);
    const row = rows[nearest];
    const x = WIDTH * (1 - (rows[rows.length - 1][0] - row[0]) / length);
    this.cursor.setAttribute('x1', x);
    this.cursor.setAttribute('x2', x);
    this.cursor.setAttribute('visibility', 'visible');
    this.value.textContent = clock(new Date(row[0] * 1000)) + '  ' + this.chart.show(this.shown[nearest]) + this.unit();
    this.pointed = true;
  }
  leave() {
    this.cursor.setAttribute('visibility', 'hidden');
    this.pointed = false;
    this.value.textContent = this.present;
  }
  /// The present value, from two looks at the counters.
  now(stat, before, seconds) {
    if (!this.chart.stat) return;
    const sum = from => this.chart.stat.reduce((sum, name) => sum + (from[name] || 0), 0);
    if (!this.chart.unit) this.tell(this.chart.show(sum(stat)));
    else if (before && seconds > 0.5) this.tell(this.chart.show(Math.max(0, sum(stat) - sum(before)) / seconds) + this.unit());
  }
  tell(text) {
    this.present = text;
    if (!this.pointed) this.value.textContent = text;
  }
}

function draw() {
  const end = rows.length ? rows[rows.length - 1][0] : 0;
  length = Math.min(HOUR_S, Math.max(LEAST_S, rows.length ? end - rows[0][0] : 0));
  // What cannot be seen need not be drawn.
  for (const card of cards) if (card.element.offsetParent) card.draw(end);
}
export const redraw = draw;

async function load() {
  try {
    const history = await call('statHistory');
    ({ h: names, d: rows, interval } = history);
    draw();
  } catch (e) { /* the link says what is wrong */ }
}

for (const [at, chart] of CHARTS.entries()) {
  const places = at < STRIP ? [$('strip'), $('charts')] : [$('charts')];
  for (const place of places) {
    const card = new Card(chart);
    cards.push(card);
    place.append(card.element);
  }
}
on('joined', load);
on('row', ({ row }) => {
  if (!rows.length || row[0] > rows[rows.length - 1][0]) rows.push(row);
  if (rows.length > ROWS_MAX) rows.shift();
  draw();
});
on('stat', ({ stat }) => {
  const now = performance.now();
  // After a restart the counters begin anew.
  const before = lastStat && lastStat.stat.start_time === stat.start_time ? lastStat : null;
  for (const card of cards) card.now(stat, before && before.stat, before ? (now - before.now) / 1000 : 0);
  lastStat = { stat, now };
});
onLanguage(draw);
