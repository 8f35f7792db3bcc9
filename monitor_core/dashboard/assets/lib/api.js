// The JSON API. Every call has a timeout, every failure a sentence.

const TIMEOUT_MS = 8000;

export class Failure extends Error {
  constructor(status, sentence) {
    super(sentence);
    this.status = status;
  }
}

export const get = (path) => call(path, { method: "GET" });

export const post = (path, body = {}) =>
  call(path, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export const put = (path, body) =>
  call(path, { method: "PUT", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });

export const remove = (path) => call(path, { method: "DELETE" });

async function call(path, options) {
  let answer;
  try {
    answer = await fetch(path, { ...options, signal: AbortSignal.timeout(TIMEOUT_MS), credentials: "same-origin" });
  } catch (error) {
    throw new Failure(0, error.name === "TimeoutError" ? "The service did not answer in time." : "The service does not answer.");
  }
  if (answer.status === 204) return null;
  const body = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Failure(answer.status, body.detail ?? `The service answered ${answer.status}.`);
  return body;
}
