// A draft is kept in this browser at once and on the server within a second; the page says which of the two it is.

const SOON = 500; // milliseconds from a change to its sending
const PATIENCE = 8000; // for an answer
const BEAT = 300_000; // without a change, for as long as the page is used: it keeps the item in hand
export const RETRIES = [1000, 2000, 4000, 8000, 15000];

export class Saver {
  /** `draft()` reads what is said; `tell(state, words)` shows where it is kept; `ask` resolves a conflict (true: what
      stands here). */
  constructor({ number, person, shown, revision, draft, tell, ask }) {
    Object.assign(this, { url: `/item/${number}/draft`, revision, draft, tell, ask });
    this.place = `labeling/${person}/${number}/${shown}`; // other servers had the same address, and items of that number
    this.failures = 0;
    this.changes = 0;
    this.sent = 0; // of the changes, those that the server has
    this.heard = Date.now();
    this.done = false;
    window.addEventListener("online", () => this.waits && this.#send());
    window.addEventListener("pagehide", () => this.#leave());
    document.addEventListener("visibilitychange", () => document.visibilityState === "hidden" && this.waits && this.#send());
  }

  /** What this browser has and the server has not: null, or {draft, revision, tried}. */
  get kept() {
    try {
      return JSON.parse(localStorage.getItem(this.place));
    } catch {
      return null;
    }
  }

  /** Keeps what stands here and sends it soon. */
  changed() {
    if (this.done) return;
    this.changes += 1;
    this.#keep();
    if (this.failures) return; // a retry is on its way
    this.tell("saving", "Saving …");
    this.timer ??= setTimeout(() => this.#send(), SOON);
  }

  /** The page is in use. */
  beat() {
    if (Date.now() - this.heard > BEAT && !this.waits) this.changed();
  }

  /** The item is handed in: nothing is kept any more. */
  finish() {
    this.done = true;
    clearTimeout(this.timer);
    this.#forget();
  }

  /** Sends again, after a login. */
  again() {
    if (this.waits) this.#send();
  }

  get waits() {
    return !this.done && (this.failures > 0 || this.sent !== this.changes);
  }

  async #send() {
    clearTimeout(this.timer);
    this.timer = undefined;
    if (this.done || this.sending) return;
    this.sending = true;
    const sent = this.changes;
    const draft = this.draft();
    this.tried = said(draft);
    this.#keep();
    let answer;
    try {
      answer = await post(this.url, JSON.stringify({ revision: this.revision + 1, draft }), "application/json");
    } catch {
      this.sending = false;
      return this.#fail("offline", "Not connected: kept in this browser");
    }
    this.sending = false;
    if (!this.done) await this.#answered(answer, sent, draft);
  }

  async #answered({ status, body }, sent, draft) {
    if (status === 401) return this.#fail("out", "Logged out: kept in this browser");
    if (status === 429 || status >= 500) return this.#fail("offline", "The server does not answer: kept in this browser");
    if (status >= 400) return this.tell("refused", `Not saved: ${body.error ?? `the server says ${status}`}`);
    this.failures = 0;
    this.heard = Date.now();
    const ours = body.saved || said(body.draft) === said(draft);
    const revision = body.revision;
    if (!ours) return this.#settle(revision);
    this.revision = revision;
    this.#heardOf(revision);
    this.sent = sent;
    if (this.changes !== sent) return this.#later(SOON);
    this.#forget();
    return this.tell("saved", "Saved");
  }

  /** Another window has saved meanwhile. */
  async #settle(revision) {
    this.tell("refused", "Changed in another window");
    if (await this.ask()) {
      this.revision = revision;
      this.#send();
    } else {
      this.finish();
      location.reload();
    }
  }

  /** On loading, what an earlier page could not send: the draft to put in place, if any. */
  recover() {
    if (this.#heardOf(null) > this.revision) {
      this.#heardOf(0); // the page was made before the one that it follows had saved
      location.reload();
    }
    const { kept } = this;
    if (!kept || said(kept.draft) === said(this.draft())) {
      this.#forget();
      if (this.revision) this.tell("saved", "Saved");
      return null;
    }
    const saved = this.revision;
    const lost = kept.revision + 1 === saved && kept.tried === said(this.draft()); // its answer was
    if (kept.revision !== saved && !lost) queueMicrotask(() => this.#settle(saved));
    return kept.draft;
  }

  #fail(state, words) {
    this.tell(state, words);
    this.#later(RETRIES[Math.min(this.failures, RETRIES.length - 1)]);
    this.failures += 1;
  }

  #later(milliseconds) {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => this.#send(), milliseconds);
  }

  /** The page goes: what is not on the server is sent once more, and kept here until it is heard. */
  #leave() {
    if (this.sending || !this.waits) return;
    const body = JSON.stringify({ revision: this.revision + 1, draft: this.draft() });
    this.tried = said(this.draft());
    this.#keep();
    fetch(this.url, { method: "POST", body, keepalive: body.length < 60_000, headers: headers("application/json") })
      .catch(() => {}); // it is kept here
  }

  #keep() {
    if (!this.changes) return;
    const entry = { draft: this.draft(), revision: this.revision, tried: this.tried };
    try {
      localStorage.setItem(this.place, JSON.stringify(entry));
    } catch {
      // without room in the browser the server is all there is
    }
  }

  /** The latest revision that this window knows the server to have; a number sets it. */
  #heardOf(revision) {
    try {
      if (revision !== null) sessionStorage.setItem(this.place, revision);
      return Number(sessionStorage.getItem(this.place));
    } catch {
      return 0;
    }
  }

  #forget() {
    try {
      localStorage.removeItem(this.place);
    } catch {
      // there is none
    }
  }
}

/** Sends a body; {status, body}, the answer's JSON. Throws where nobody answers. */
export async function post(url, body, type = "application/x-www-form-urlencoded") {
  const signal = AbortSignal.timeout(PATIENCE);
  const answer = await fetch(url, { method: "POST", body, signal, headers: headers(type) });
  const isJson = answer.headers.get("content-type")?.startsWith("application/json");
  return { status: answer.status, body: isJson ? await answer.json() : {} };
}

function headers(type) {
  return { "Content-Type": type, Accept: "application/json" };
}

/** What of a draft is somebody's words: ratings and order. */
function said(draft) {
  const rated = Object.entries(draft?.ratings ?? {}).map(([letter, one]) => (
    [letter, one.likert ?? null, [...(one.flags ?? [])].sort(), one.note ?? ""]));
  return JSON.stringify([rated.sort(), draft?.order ?? ""]);
}
