// The live stream: one EventSource a page, and a word for how it is: live, stale, gone or paused.
// A browser has six connections to one server for all of its tabs: a tab that nobody sees lets go of its own.

const RETRY_MS = 1000;
const WATCH_MS = 500;
const HEARTBEAT_MS = 5000;
const HIDDEN_MS = 2000;

export class Stream {
  /** `on`: {event: handler}; `onState(word, since)` whenever the word changes and once a second while it is not live. */
  constructor(query, on, onState, onReturn = () => {}) {
    Object.assign(this, { query, on, onState, onReturn });
    this.offset = 0;
    this.staleAfter = 7500;
    this.lastEvent = Date.now();
    this.lastData = Date.now();
    this.state = "connecting";
    this.paused = this.missed = this.asleep = false;
    this.watch = setInterval(() => this.look(), WATCH_MS);
    this.seen = () => this.see();
    document.addEventListener("visibilitychange", this.seen);
    if (document.hidden) this.sleep();
    else this.open();
  }

  see() {
    clearTimeout(this.leaving);
    if (document.hidden) this.leaving = setTimeout(() => this.sleep(), HIDDEN_MS);
    else if (this.asleep) this.wake();
  }

  sleep() {
    this.asleep = this.missed = true;
    this.source?.close();
  }

  /** It looks as it did until the first word: then the page asks for what it has missed. */
  wake() {
    this.asleep = false;
    this.state = "connecting";
    this.open();
  }

  /** The service's clock, ms. */
  now() {
    return Date.now() + this.offset;
  }

  open() {
    const source = (this.source = new EventSource(`/api/stream?${this.query}`));
    source.addEventListener("hello", (event) => this.hello(JSON.parse(event.data)));
    source.addEventListener("ping", (event) => this.beat(JSON.parse(event.data)));
    for (const [name, handler] of Object.entries(this.on))
      source.addEventListener(name, (event) => {
        this.lastEvent = Date.now();
        if (name === "fleet" || name === "sample") this.lastData = this.lastEvent;
        if (!this.paused) handler(JSON.parse(event.data));
      });
    source.onerror = () => this.lost(source);
  }

  hello(data) {
    const returned = this.missed;
    this.missed = false;
    this.beat(data);
    this.lastData = Date.now();
    this.staleAfter = Math.max(2.4 * data.interval_ms, 3000);
    this.turn("live");
    if (returned && !this.paused) this.onReturn();
  }

  beat(data) {
    this.lastEvent = Date.now();
    this.offset = data.now - Date.now();
  }

  lost(source) {
    source.close();
    if (source !== this.source || this.closed || this.asleep) return;
    this.missed = true;
    this.turn("gone");
    // an EventSource alone would wait three seconds and more
    setTimeout(() => !this.closed && !this.asleep && source === this.source && this.open(), RETRY_MS);
  }

  look() {
    if (this.asleep) return;
    const quiet = Date.now() - this.lastEvent;
    if (this.state !== "gone" && this.state !== "connecting" && quiet > HEARTBEAT_MS) return this.lost(this.source);
    if (this.state === "live" && Date.now() - this.lastData > this.staleAfter) this.turn("stale");
    else if (this.state === "stale" && Date.now() - this.lastData < this.staleAfter) this.turn("live");
    this.onState(this.word(), this.lastData);
  }

  turn(state) {
    this.state = state;
    this.onState(this.word(), this.lastData);
  }

  word() {
    return this.paused && this.state === "live" ? "paused" : this.state;
  }

  pause(paused) {
    this.paused = paused;
    if (!paused) this.onReturn();
    this.onState(this.word(), this.lastData);
  }

  close() {
    this.closed = true;
    clearInterval(this.watch);
    clearTimeout(this.leaving);
    document.removeEventListener("visibilitychange", this.seen);
    this.source?.close();
  }
}
