// Numbers and times as people read them: no more digits than matter, a thin space before the unit.

export const THIN = "\u202f";

export const percent = (value) => (value === null || value === undefined ? "—" : `${Math.round(value)}${THIN}%`);

/** Near 1 a thousandth is worth as much as a tenth elsewhere. */
export const scoreText = (score) => (score < 0.995 || score >= 1 ? score.toFixed(2) : score.toFixed(4));

export const number = (value) => Math.round(value).toLocaleString("en-US");

export function lasted(ms) {
  const s = Math.max(0, Math.round(ms / 1000));
  if (s < 100) return `${s}${THIN}s`;
  if (s < 6000) return `${Math.round(s / 60)}${THIN}min`;
  if (s < 172800) return withRest(Math.floor(s / 3600), "h", Math.floor((s % 3600) / 60), "min");
  return withRest(Math.floor(s / 86400), "d", Math.floor((s % 86400) / 3600), "h");
}

const withRest = (big, unit, small, rest) =>
  small ? `${big}${THIN}${unit} ${small}${THIN}${rest}` : `${big}${THIN}${unit}`;

const two = (n) => String(n).padStart(2, "0");

export function clock(ms, seconds = false) {
  const at = new Date(ms);
  const text = `${two(at.getHours())}:${two(at.getMinutes())}`;
  return seconds ? `${text}:${two(at.getSeconds())}` : text;
}

/** 13:41 today, else 22 Nov 13:41. */
export function moment(ms, now = Date.now()) {
  if (new Date(ms).toDateString() === new Date(now).toDateString()) return clock(ms);
  return `${day(ms)} ${clock(ms)}`;
}

export const day = (ms) => new Date(ms).toLocaleDateString("en-GB", { day: "numeric", month: "short" });

export const absolute = (ms) => new Date(ms).toLocaleString("en-GB", { dateStyle: "medium", timeStyle: "long" });

export function bytes(size) {
  if (size === null || size === undefined) return "—";
  for (const [unit, step] of [["GB", 1e9], ["MB", 1e6], ["kB", 1e3]])
    if (size >= step) return `${(size / step).toFixed(size < 10 * step ? 1 : 0)}${THIN}${unit}`;
  return `${size}${THIN}B`;
}

/** 782 ms, 9.4 ms, 1.2 s. */
export function milliseconds(ms) {
  if (ms >= 1000) return `${(ms / 1000).toFixed(1)}${THIN}s`;
  return `${ms >= 10 ? Math.round(ms) : ms}${THIN}ms`;
}

export const plural = (n, one, many = `${one}s`) => `${number(n)} ${n === 1 ? one : many}`;

export const words = (name) => name.replaceAll("_", " ");
