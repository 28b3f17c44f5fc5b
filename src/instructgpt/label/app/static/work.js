// What is said of an item: ratings, ranks and the order line in step, with undo and redo.

import { listed, readOrder, writeOrder } from "./order.js";

const STEPS = 500;

export class Work {
  /** `said` is {ratings: {A: {likert, flags, note}}, ranks: {A: 1}, order}; `asked` what a queue wants. */
  constructor(letters, asked, said) {
    this.letters = letters;
    this.asked = asked;
    this.said = said;
    this.before = [];
    this.after = [];
    this.merged = "";
    this.listeners = [];
  }

  /** Calls back after each change with a sentence about it. */
  listen(listener) {
    this.listeners.push(listener);
  }

  /** Changes a copy, which can be undone; changes in a row with one `merge` are undone together. */
  change(words, alter, merge = "") {
    const next = structuredClone(this.said);
    alter(next);
    if (JSON.stringify(next) === JSON.stringify(this.said)) return;
    if (!merge || merge !== this.merged) this.before = [...this.before.slice(1 - STEPS), [this.said, words]];
    this.merged = merge;
    this.after = [];
    this.#become(next, words);
  }

  undo() {
    this.#turn(this.before, this.after, "Undone");
  }

  redo() {
    this.#turn(this.after, this.before, "Done again");
  }

  /** Takes all of it from elsewhere; nothing is left to undo. */
  replace(said) {
    this.before = [];
    this.after = [];
    this.#become(said, "");
  }

  rate(letter, likert) {
    this.change(`${letter} rated ${likert}`, (said) => { said.ratings[letter].likert = likert; });
  }

  flag(letter, field, on, words) {
    this.change(`${letter}, ${words}: ${on ? "yes" : "no"}`, (said) => {
      const flags = said.ratings[letter].flags.filter((one) => one !== field);
      said.ratings[letter].flags = on ? [...flags, field].sort() : flags;
    });
  }

  note(letter, text) {
    this.change(`Note on ${letter}`, (said) => { said.ratings[letter].note = text; }, `note ${letter}`);
  }

  /** Puts an answer into a rank; 0 is "to be ranked". */
  place(letter, rank, words) {
    this.change(words, (said) => {
      if (rank) said.ranks[letter] = rank;
      else delete said.ranks[letter];
      said.order = writeOrder(said.ranks);
    });
  }

  /** Takes the order line as it stands; the error that it holds, or nothing. */
  write(line) {
    let ranks = null;
    let error = "";
    try {
      ranks = readOrder(line, this.letters.length);
    } catch (problem) {
      error = problem.message;
    }
    this.change("Order line", (said) => {
      said.order = line;
      if (ranks && writeOrder(ranks) !== writeOrder(said.ranks)) said.ranks = ranks;
    }, "order");
    return error;
  }

  /** What a submission lacks: [{field, sentence}], in the order of the page. */
  missing() {
    const rated = (letter) => this.asked === "none" || this.said.ratings[letter].likert;
    const found = this.letters.filter((letter) => !rated(letter)).map((letter) => (
      { field: `likert.${letter}`, sentence: `Answer ${letter} has no rating.` }));
    try {
      const line = this.said.order.trim() || this.letters.length > 1 ? this.said.order : "A";
      const ranks = readOrder(line, this.letters.length);
      const left = this.letters.filter((letter) => !(letter in ranks));
      const verb = left.length > 1 ? "are" : "is";
      if (left.length) found.push({ field: "order", sentence: `${listed(left)} ${verb} not ranked.` });
    } catch (problem) {
      found.push({ field: "order", sentence: `The order line cannot be read: ${problem.message}` });
    }
    return found;
  }

  #turn(from, to, verb) {
    const step = from.pop();
    if (!step) return;
    const [said, words] = step;
    to.push([this.said, words]);
    this.merged = "";
    this.#become(said, `${verb}: ${words}`);
  }

  #become(said, words) {
    this.said = said;
    for (const listener of this.listeners) listener(words);
  }
}
