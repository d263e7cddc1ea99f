// One WebSocket that is a user of an app and comes back by itself. Knows nothing of what the messages mean.
import { call, isAsking, socketUrl } from './api.js';
import { t } from './words.js';

const RETRY_S_MIN = 1, RETRY_S_MAX = 30;
const STABLE_MS = 10000;          // a connection that held so long starts the waits over
const ALIVE_MS = 60000, ALIVE_REPLY_MS = 20000;

// A reply is told from a pushed message by its form; where a push looks the same, both are
// shown, only the mark may be on the other one.
const REPLY = { init: /^(OK$|\*\*\* )/, alive: /^OK$/, push: /^(\d+$|\*\*\* error)/ };

export class Link {
  /// hooks: state() after every change, joined(), text(data) for a message, reply(data) for the answer to ask(…, 'push').
  constructor(hooks) {
    this.hooks = hooks;
    this.socket = null;
    this.wanted = false;
    // offline | connecting | joining | connected | waiting | closed | token | refused
    this.state = 'offline';
    this.detail = {};
    this.tries = 0;
    this.expected = [];
    this.timers = {};
    this.app = this.user = '';
    addEventListener('online', () => this.comeBackNow());
    document.addEventListener('visibilitychange', () => this.comeBackNow());
  }

  set(state, detail) {
    this.state = state;
    this.detail = detail || {};
    this.hooks.state();
  }
  /// The state in words, and a class for its mark.
  words() {
    const d = this.detail;
    switch (this.state) {
      case 'connected': return t('connected') + ' · ' + this.app + ' · ' + this.user;
      case 'waiting': return t('retry', d);
      case 'closed': return t('closed', d);
      case 'refused': return t('refused') + d.text;
      case 'token': return t('needToken');
      default: return t(this.state);
    }
  }
  mark() {
    const marks = { connected: 'open', connecting: 'wait', joining: 'wait', waiting: 'wait', closed: 'bad', token: 'bad', refused: 'bad' };
    return marks[this.state] || '';
  }

  stopTimers() {
    for (const name of Object.keys(this.timers)) clearTimeout(this.timers[name]);
    this.timers = {};
  }
  drop() {
    this.stopTimers();
    const socket = this.socket;
    if (!socket) return;
    socket.onopen = socket.onmessage = socket.onclose = null;
    this.socket = null;
    this.expected = [];
    socket.close(1000);
  }
  open() {
    this.drop();
    this.wanted = true;
    this.set('connecting');
    const socket = this.socket = new WebSocket(socketUrl());
    let opened = false;
    socket.onopen = () => { opened = true; this.join(); };
    socket.onmessage = event => { clearTimeout(this.timers.reply); this.received(event.data); };
    socket.onclose = event => this.lost(event.code, opened);
  }
  close() {
    this.wanted = false;
    this.drop();
    this.set('offline');
  }
  /// Says who this is; a connection that is open moves.
  join() {
    this.set('joining');
    this.ask(JSON.stringify({ ac: 'init', app: this.app, user: this.user }), 'init');
  }
  /// Sends a request and remembers which reply is due: replies come in the order of requests.
  ask(request, kind) {
    this.expected.push(kind);
    this.socket.send(request);
  }
  keepAlive() {
    this.ask('{"ac":"alive"}', 'alive');
    clearTimeout(this.timers.reply);
    this.timers.reply = setTimeout(() => { this.drop(); this.lost(t('deadLine'), true); }, ALIVE_REPLY_MS);
  }
  received(data) {
    const kind = this.expected[0];
    if (typeof data !== 'string' || !kind || !REPLY[kind].test(data)) return this.hooks.text(data);
    this.expected.shift();
    if (kind === 'push') return this.hooks.reply(data);
    if (kind !== 'init') return;
    if (data !== 'OK') {
      this.hooks.text(data);
      return this.set('refused', { text: data });
    }
    this.set('connected');
    clearTimeout(this.timers.stable);
    this.timers.stable = setTimeout(() => { this.tries = 0; }, STABLE_MS);
    clearInterval(this.timers.alive);
    this.timers.alive = setInterval(() => this.keepAlive(), ALIVE_MS);
    this.hooks.joined();
  }
  /// 1000 and 1005 are a server's last word; after anything else come back, later each time.
  lost(code, opened) {
    this.stopTimers();
    this.socket = null;
    this.expected = [];
    if (code === 1000 || code === 1005) {
      this.wanted = false;
      return this.state === 'refused' ? this.hooks.state() : this.set('closed', { code });
    }
    const cap = Math.min(RETRY_S_MAX, 2 * RETRY_S_MIN * 2 ** this.tries++);
    const seconds = cap / 2 + Math.random() * cap / 2;
    this.set('waiting', { code, s: Math.ceil(seconds) });
    this.timers.retry = setTimeout(() => this.open(), seconds * 1000);
    // A refused upgrade looks like any other failure from here; a call tells a missing token.
    if (!opened) {
      call('stat').catch(() => {
        if (!isAsking() || !this.wanted || this.state !== 'waiting') return;
        this.stopTimers();
        this.set('token');
      });
    }
  }
  comeBackNow() {
    if (this.state === 'waiting' && document.visibilityState === 'visible') this.open();
  }
}
