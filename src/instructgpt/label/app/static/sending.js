// Submitting: once, whatever the network, the session or an impatient finger does.

import { RETRIES, post } from "./saving.js";

const pause = (milliseconds) => new Promise((go) => { setTimeout(go, milliseconds); });

/** Sends a form until it is answered, over lost connections and sessions: {status, body}. */
export async function deliver(url, fields, tell) {
  for (let failures = 0; ; failures += 1) {
    let answer = null;
    try {
      answer = await post(url, new URLSearchParams(fields));
    } catch {
      // nobody answered
    }
    if (answer?.status === 401) {
      tell("out", "Logged out: not submitted yet");
      if (!(await login())) return answer;
      failures = -1;
    } else if (answer && answer.status < 500 && answer.status !== 429) return answer;
    else {
      tell("offline", "Not connected: it is kept here, and submitted when the connection is back");
      await pause(RETRIES[Math.min(failures, RETRIES.length - 1)]);
    }
  }
}

/** A dialog with two buttons: true for `data-go`, false for whatever else closes it. */
export function ask(id, words = "") {
  const dialog = document.getElementById(id);
  const place = dialog.querySelector("[data-words]");
  if (place) place.textContent = words;
  return new Promise((answer) => {
    let said = false;
    dialog.querySelector("[data-go]").onclick = () => { said = true; dialog.close(); };
    dialog.querySelector("[data-close]").onclick = () => dialog.close();
    dialog.onclose = () => answer(said);
    if (!dialog.open) dialog.showModal();
  });
}

let asking = null;

/** The login over the page, or, for who ranks alone, what to do instead: whether one is in, or says so. */
export function login() {
  const hasPassword = document.querySelector("#login form");
  asking ??= (hasPassword ? askToLogIn() : ask("login")).finally(() => { asking = null; });
  return asking;
}

function askToLogIn() {
  const dialog = document.getElementById("login");
  const form = dialog.querySelector("form");
  const error = dialog.querySelector("[data-error]");
  error.textContent = "";
  dialog.querySelector("[data-close]").onclick = () => dialog.close();
  return new Promise((answer) => {
    let isIn = false;
    form.onsubmit = async (event) => {
      event.preventDefault();
      const button = form.querySelector(".main");
      button.disabled = true;
      try {
        const { status, body } = await post("/login", new URLSearchParams(new FormData(form)));
        isIn = status < 400;
        error.textContent = isIn ? "" : body.error ?? "This name and password do not fit.";
      } catch {
        error.textContent = "The server does not answer; try again in a moment.";
      }
      button.disabled = false;
      form.password.value = "";
      if (isIn) dialog.close();
      else form.password.focus();
    };
    dialog.onclose = () => answer(isIn);
    dialog.showModal();
    form.password.focus();
  });
}
