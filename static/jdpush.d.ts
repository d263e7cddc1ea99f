// Types of jdpush.js. As a plain script jdPush is global; with a bundler: import jdPush = require("./jdpush").

declare function jdPush<T = any>(
  app: string,
  handleMsg?: ((msg: T, ws: jdPush.Client) => void) | null,
  opt?: jdPush.Options
): jdPush.Client;

declare namespace jdPush {
  type State = "connecting" | "open" | "polling" | "waiting" | "closed";

  interface Options {
    /** Who we are; by default g_data.userInfo.id, else a name by chance. */
    user?: string | number;
    /** Where the daemon is, by default "/jdserver": a path, //host/path, or a URL. */
    url?: string;
    /** "json" (default): objects and lists, parsed; "text": everything as text. */
    dataType?: "json" | "text";
    /** Seconds between keep-alive messages, 60 by default; 0: none. */
    keepAliveInterval?: number;
    /** Where the server has one. */
    token?: string;
    /** true: long poll only; false: never; by default where WebSocket is missing or fails. */
    poll?: boolean;
    /** Seconds, at most, of the first wait before it comes back, 2 by default; each further one is twice as long, up to 30. */
    retryInterval?: number;
    onState?: (state: State) => void;
  }

  interface Client {
    /** False while nobody takes it; by long poll only pushes are taken. */
    send(data: string | object): boolean;
    /** Ends it for good. */
    stop(): void;
    /** The same as stop. */
    close(): void;
    readonly state: State;
  }
}

export = jdPush;
export as namespace jdPush;
