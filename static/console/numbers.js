// All that `stat` tells, with its rate: the panel Numbers, and the line at the top.
import { $, bytes, el, rate, span, whole } from './dom.js';
import { on } from './live.js';
import { language, onLanguage, t } from './words.js';

const WORDS = {
  jdserver_version: ['version', '版本'], jdserver_start_time: ['started', '启动时间'], jdserver_tm: ['server time', '服务器时间'],
  connection_num: ['connections', '当前连接'], user_num: ['users', '当前用户'], app_num: ['apps', '当前应用'],
  accept_count: ['connections taken', '累计接受连接'], close_count: ['connections closed', '累计关闭连接'], abort_count: ['connections refused', '累计拒绝连接'],
  slow_closed: ['slow receivers closed', '因太慢而关闭'], request_count: ['requests and messages', '请求和消息'], response_count: ['HTTP answers', 'HTTP 应答'],
  worker_request_count: ['HTTP requests', 'HTTP 请求'], delivered_messages: ['messages delivered', '送达的消息'], dropped_messages: ['messages dropped', '丢弃的消息'],
  total_recv_bytes: ['received', '接收'], total_send_bytes: ['sent', '发送'], queued_bytes: ['waiting to be sent', '待发送'], held_bytes: ['unfinished input', '未完的输入'],
  jdserver_timer_cnt: ['periodic timers', '周期定时器'], timers_pending: ['timers pending', '待运行的定时器'], timers_fired: ['callbacks made', '定时器调用'], timers_failed: ['runs failed', '失败'],
  timers_retried: ['callbacks retried', '重试'], timers_skipped: ['runs skipped', '略过'], timers_refused: ['changes the disk refused', '磁盘拒绝的更改'], timers_queued: ['callbacks that wait', '等待的调用'],
  timers_running: ['callbacks that run', '进行中的调用'], timers_changed: ['changes of timers', '定时器更改'], worker_num: ['workers at most', '最多工作线程'], log_dropped: ['log lines dropped', '丢弃的日志行'],
  plugin_events: ['events for plugins', '插件事件'], plugin_dropped: ['events plugins missed', '插件错过的事件'], timers_late: ['lateness of callbacks', '调用的迟到'],
};
const HIDDEN = ['start_time'];
const UNITS = { en: ['d', 'h', 'min', 's'], zh: ['天', '小时', '分', '秒'] };

let stat = null, before = null;

function value(name, v) {
  if (typeof v !== 'number') return typeof v === 'string' ? v : JSON.stringify(v);
  return /bytes/.test(name) ? bytes(v) : whole(v);
}
function speed(name) {
  if (!before || !/count|bytes$|messages|fired|failed|retried/.test(name) || /queued|held/.test(name)) return '';
  const perSecond = (stat[name] - before.stat[name]) / before.seconds;
  return perSecond > 0 ? (/bytes/.test(name) ? bytes(perSecond) : rate(perSecond)) + t('perS') : '';
}
/// Classes that counted something, as `≤ 1 ms 12 · …`.
function lateness(classes) {
  const some = Object.entries(classes).filter(([, n]) => n > 0);
  return some.map(([name, n]) => name.replace('<=', '≤ ').replace('>', '> ').replace('ms', ' ms') + ': ' + whole(n)).join(' · ') || '–';
}
function show() {
  if (!stat) return;
  const names = Object.keys(WORDS).filter(name => name in stat).concat(Object.keys(stat).filter(name => !(name in WORDS) && !HIDDEN.includes(name)));
  $('stat').replaceChildren(...names.map(name => el('div', { title: name, class: name === 'timers_late' ? 'wide' : '' },
    el('dt', { textContent: WORDS[name] ? WORDS[name][language() === 'zh' ? 1 : 0] : name }),
    el('dd', {}, el('span', { class: 'rate', textContent: speed(name) }), name === 'timers_late' ? lateness(stat[name]) : value(name, stat[name])))));
}
export const showNumbers = show;

on('stat', event => {
  const now = performance.now();
  before = stat && stat.start_time === event.stat.start_time ? { stat, seconds: Math.max(0.5, (now - show.at) / 1000) } : null;
  stat = event.stat;
  show.at = now;
  top();
  if ($('panelNumbers').offsetParent) show();
});
function top() {
  if (!stat) return;
  $('version').textContent = stat.jdserver_version || '';
  const up = (Date.parse(stat.jdserver_tm.replace(' ', 'T')) - Date.parse(stat.jdserver_start_time.replace(' ', 'T'))) / 1000;
  $('up').textContent = t('up', { span: span(Math.max(0, up), UNITS[language()]) });
}
onLanguage(() => { top(); show(); });
