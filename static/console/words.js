// What the page says, in English and Chinese. A text in the page is marked by data-t (its content), data-t-label
// (aria-label) or data-t-hint (placeholder); the rest asks t().
import { local } from './dom.js';

const WORDS = {
  en: {
    other: '中文', tabs: 'Panels', tabTry: 'Try it', tabUsers: 'Users', tabTimers: 'Timers', tabLog: 'Log', tabSettings: 'Settings', tabNumbers: 'Numbers',
    charts: 'The last hour', live: 'live', liveLost: 'not live', up: 'up {span}', manual: 'Manual', keysHint: 'Keys: 1 to 6 panels, / search',
    tokenAsk: 'This server asks for a token', tokenBad: 'The server refused this token', adminAsk: 'The console needs the admin token; Try it works without', use: 'Use', notNow: 'Not now',
    // connection
    offline: 'not connected', connecting: 'connecting…', joining: 'joining…', connected: 'connected', retry: 'lost ({code}), again in {s} s', closed: 'closed by the server ({code})',
    needToken: 'token needed', refused: 'refused: ', deadLine: 'no answer to alive', noAnswer: 'No answer: ',
    // try
    app: 'App', user: 'User', connection: 'Connection', connect: 'Connect', change: 'Change', disconnect: 'Disconnect',
    send: 'Send', to: 'To', toHint: 'Users of the app by commas and patterns: u1,group1/*  ? one character  [a-z]', msg: 'Message', asJson: 'as JSON',
    sendHttp: 'Send by HTTP', sendWs: 'by WebSocket', sendNow: 'Send', keys: 'In the message: Ctrl+Enter HTTP, Shift+Enter WebSocket',
    messages: 'Messages', pretty: 'indent JSON', clear: 'Clear', none: 'Nothing yet. Send something here, or from a shell:',
    online: 'Online', took: '{n} took it', badJson: 'Not JSON: ', notSent: 'Not connected',
    escaped: ' (by HTTP < and > arrive as &lt; and &gt;)', nobody: 'nobody', more: '{n} more',
    showAll: 'all {n} characters', indent: 'indent', asIs: 'as sent', dropped: 'last {n} of {all}',
    // users
    apps: 'Apps', connections: 'connections', findApp: 'Find an app', findUser: 'Find a user: part of a name, or a pattern', usersOf: 'Users of {app}', pickApp: 'Choose an app', noApps: 'Nobody is connected',
    push: 'Push to {app}', moves: 'Who comes and goes', noMoves: 'Quiet so far', leftOut: '{n} left out', firstOf: 'the first {n}; search for others', none2: 'None',
    // timers
    addTimer: 'Add a timer', findTimer: 'Find: URL, code, any field', timer: 'Timer', schedule: 'When', next: 'Next run', last: 'Last run', runs: 'Runs', actions: 'Actions',
    run: 'Run', pause: 'Pause', resume: 'Resume', edit: 'Edit', del: 'Delete', sure: 'Delete it?', details: 'Details', paused: 'paused', failuresNow: '{n} failed in a row', noTimers: 'No timers. A timer calls a URL again and again, or by a crontab line.',
    lastRuns: 'Last runs', noRuns: 'No runs since the start', runAt: 'Time', status: 'Status', took2: 'Took', late: 'Late', answer: 'Answer', nextTimes: 'Next times', failedOnes: 'Failed for good', tryAgain: 'Try again',
    editTimer: 'Timer {id}', newTimer: 'New timer', save: 'Save', cancel: 'Cancel', kind: 'Kind',
    kindCron: 'by a crontab line', kindEvery: 'every so often', everyTime: 'every {time}', kindOnce: 'once', url: 'URL', everyS: 'Every … seconds', inS: 'In … seconds', cron: 'Crontab line', code: 'Code', codeHint: 'app-object-key, unique; may stay empty',
    cronHint: 'minute hour day month weekday', data: 'Data', dataHint: 'Empty: GET. Else it is POSTed.', dataAs: 'Send data as', asText: 'text, as it is', asForm: 'a form', asJson2: 'JSON', headers: 'Headers', headersHint: 'One per line, Name: value',
    moreOptions: 'More', tz: 'Time zone', timeout: 'Time limit, s', retryN: 'Retries', retryWait: 'Wait before a retry, ms', overlap: 'If the last run is still under way', misfire: 'If it was missed while down', splay: 'Spread, s', maxRuns: 'Runs at most', until: 'Until', method: 'Method', sign: 'Signing secret', signHint: 'set; leave empty to keep it', persist: 'Kept over a restart', asSet: 'as set', badData: 'Data must be a JSON object: ', needUrl: 'A URL is needed', preview: 'Next: ',
    // log
    logOf: 'Log', allLogs: 'all', findLine: 'Find in the lines', hold: 'Hold', follow: 'Follow', logEmpty: 'No such line', linesLost: '… {n} lines left out', log_server: 'own', log_trace: 'trace', log_slow: 'slow', log_debug: 'debug', held: '{n} new',
    // settings
    findSetting: 'Find a setting', reload: 'Reload the file', reloaded: 'Reloaded', setting: 'Setting', value: 'Value', def: 'Default', effect: 'Takes effect', origin: 'From', what: 'What', apply: 'Set', setTo: '{name} = {value}, until the next start',
    when_restart: 'on restart', when_reload: 'on reload', when_now: 'at once', from_default: 'default', from_file: 'file', 'from_command line': 'command line', from_conf: 'conf', isSet: 'set, hidden', ofPlugin: 'For plugins',
    // numbers
    statistics: 'Since the start', perS: '/s',
    c_connections: 'Connections', c_users: 'Users', c_input: 'Calls and messages', c_delivered: 'Messages delivered', c_dropped: 'Messages dropped', c_received: 'Received', c_sent: 'Sent', c_queued: 'Waiting to be sent', c_fired: 'Timer callbacks', c_failed: 'Timer runs failed', c_pending: 'Timers pending',
    perMin: '/min', noHour: 'A point every 10 s',
  },
  zh: {
    other: 'English', tabs: '面板', tabTry: '试用', tabUsers: '用户', tabTimers: '定时器', tabLog: '日志', tabSettings: '设置', tabNumbers: '统计',
    charts: '最近一小时', live: '实时', liveLost: '未连接', up: '已运行 {span}', manual: '手册', keysHint: '按键：1 到 6 切换面板，/ 搜索',
    tokenAsk: '服务器要求令牌 (token)', tokenBad: '令牌被服务器拒绝', adminAsk: '控制台需要管理令牌 (admin_token)；不输入也可试用', use: '使用', notNow: '暂不',
    offline: '未连接', connecting: '正在连接…', joining: '正在注册…', connected: '已连接', retry: '连接断开 ({code})，{s} 秒后重连', closed: '被服务器关闭 ({code})',
    needToken: '需要令牌', refused: '被拒绝：', deadLine: 'alive 无应答', noAnswer: '没有应答：',
    app: '应用', user: '用户', connection: '连接', connect: '连接', change: '更改', disconnect: '断开',
    send: '发送', to: '发给', toHint: '该应用的用户，逗号分隔，可用通配符：u1,group1/*  ? 一个字符  [a-z]', msg: '消息', asJson: '按 JSON',
    sendHttp: '用 HTTP 发送', sendWs: '用 WebSocket', sendNow: '发送', keys: '在消息框中：Ctrl+Enter 用 HTTP，Shift+Enter 用 WebSocket',
    messages: '消息', pretty: 'JSON 缩进', clear: '清空', none: '还没有消息。在这里发一条，或在命令行执行：',
    online: '在线', took: '{n} 个连接已收到', badJson: '不是 JSON：', notSent: '未连接',
    escaped: '（经 HTTP 时 < 和 > 会变为 &lt; 和 &gt;）', nobody: '无', more: '另有 {n} 个',
    showAll: '全部 {n} 个字符', indent: '缩进', asIs: '原文', dropped: '{all} 条中的最后 {n} 条',
    apps: '应用', connections: '连接数', findApp: '查找应用', findUser: '查找用户：名称的一部分或通配模式', usersOf: '{app} 的用户', pickApp: '请选择应用', noApps: '没有人在线',
    push: '推送到 {app}', moves: '上线与下线', noMoves: '暂无动静', leftOut: '另有 {n} 条', firstOf: '前 {n} 个；其他请搜索', none2: '无',
    addTimer: '新建定时器', findTimer: '查找：URL、code 或任意字段', timer: '定时器', schedule: '时间', next: '下次运行', last: '上次运行', runs: '次数', actions: '操作',
    run: '运行', pause: '暂停', resume: '恢复', edit: '编辑', del: '删除', sure: '确定删除？', details: '详情', paused: '已暂停', failuresNow: '连续失败 {n} 次', noTimers: '还没有定时器。定时器按间隔或 crontab 行反复调用 URL。',
    lastRuns: '最近运行', noRuns: '启动以来未运行', runAt: '时间', status: '状态', took2: '耗时', late: '迟到', answer: '应答', nextTimes: '接下来的时间', failedOnes: '最终失败', tryAgain: '重试',
    editTimer: '定时器 {id}', newTimer: '新建定时器', save: '保存', cancel: '取消', kind: '类型',
    kindCron: '按 crontab 行', kindEvery: '按间隔', everyTime: '每 {time}', kindOnce: '一次', url: 'URL', everyS: '间隔（秒）', inS: '多少秒之后', cron: 'crontab 行', code: '代码 (code)', codeHint: '应用-对象-键，唯一；可为空',
    cronHint: '分 时 日 月 周', data: '数据', dataHint: '空则为 GET，否则以 POST 发送', dataAs: '数据发送方式', asText: '文本原样', asForm: '表单', asJson2: 'JSON', headers: '请求头', headersHint: '每行一个，名称: 值',
    moreOptions: '更多', tz: '时区', timeout: '时限（秒）', retryN: '重试次数', retryWait: '重试前等待（毫秒）', overlap: '上次未结束时', misfire: '停机期间错过时', splay: '错开（秒）', maxRuns: '最多次数', until: '截止', method: '方法', sign: '签名密钥', signHint: '已设置；留空则不变', persist: '重启后保留', asSet: '按设置', badData: '数据须为 JSON 对象：', needUrl: '需要 URL', preview: '接下来：',
    logOf: '日志', allLogs: '全部', findLine: '在行中查找', hold: '暂停', follow: '继续', logEmpty: '没有这样的行', linesLost: '… 略去 {n} 行', log_server: '自身', log_trace: 'trace', log_slow: 'slow', log_debug: 'debug', held: '{n} 行新日志',
    findSetting: '查找设置', reload: '重新读取文件', reloaded: '已重新读取', setting: '设置', value: '值', def: '默认', effect: '生效', origin: '来源', what: '说明', apply: '设为', setTo: '{name} = {value}，到下次启动为止',
    when_restart: '重启', when_reload: 'reload', when_now: '立即', from_default: '默认', from_file: '文件', 'from_command line': '命令行', from_conf: 'conf', isSet: '已设置，不显示', ofPlugin: '供插件使用',
    statistics: '启动以来', perS: '/秒',
    c_connections: '连接', c_users: '用户', c_input: '调用和消息', c_delivered: '送达的消息', c_dropped: '丢弃的消息', c_received: '接收', c_sent: '发送', c_queued: '待发送', c_fired: '定时器调用', c_failed: '定时器失败', c_pending: '待运行的定时器',
    perMin: '/分', noHour: '每 10 秒一个点',
  },
};

let lang = local.get('lang') || (/^zh/i.test(navigator.language || '') ? 'zh' : 'en');
const listeners = [];

/// The text of that name, its {values} filled in.
export const t = (name, values) => WORDS[lang][name].replace(/\{(\w+)\}/g, (_, key) => values[key]);
export const language = () => lang;
/// Calls back whenever the language changes.
export const onLanguage = listener => listeners.push(listener);

export function speak() {
  document.documentElement.lang = lang === 'zh' ? 'zh-CN' : 'en';
  for (const e of document.querySelectorAll('[data-t]')) e.textContent = t(e.dataset.t);
  for (const e of document.querySelectorAll('[data-t-label]')) e.setAttribute('aria-label', t(e.dataset.tLabel));
  for (const e of document.querySelectorAll('[data-t-hint]')) e.placeholder = t(e.dataset.tHint);
  for (const listener of listeners) listener();
}
export function switchLanguage() {
  lang = lang === 'zh' ? 'en' : 'zh';
  local.set('lang', lang);
  speak();
}
