// The order line: the same grammar as the terminal's (label/terminal.py), and ranks as a line.

const LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ";

/** The ranks of the answers that a line names, some or all, from 1 without gaps; ties are equal.
    Throws an Error whose message is for the labeler. */
export function readOrder(line, count) {
  const letters = LETTERS.slice(0, count);
  const said = line.toUpperCase().replace(/\s/gu, "");
  if (!said) return {};
  const named = said.match(/[\p{L}\p{N}]/gu) ?? [];
  const unknown = [...new Set(named)].filter((one) => !letters.includes(one));
  if (unknown.length) {
    throw new Error(`There is no answer ${unknown.join(", ")}; name A to ${letters.at(-1)}.`);
  }
  if (!/^[A-Z](?:[>,=]?[A-Z])*$/.test(said)) {
    throw new Error("Between two answers stands one >, or = for a tie, and nothing else.");
  }
  const twice = [...letters].filter((one) => named.filter((other) => other === one).length > 1);
  if (twice.length) throw new Error(`Named more than once: ${twice.join(", ")}.`);
  const ranks = {};
  let rank = 0;
  for (const [, tie, letter] of said.matchAll(/(=?)([A-Z])/g)) {
    if (!tie) rank += 1;
    ranks[letter] = rank;
  }
  return ranks;
}

/** Ranks as the line that gives them: "B > A = D > C". */
export function writeOrder(ranks) {
  return groups(ranks).map((tied) => tied.join(" = ")).join(" > ");
}

/** The answers of each rank that has some, best first. */
function groups(ranks) {
  const rows = new Map();
  for (const letter of Object.keys(ranks).sort()) {
    rows.set(ranks[letter], [...(rows.get(ranks[letter]) ?? []), letter]);
  }
  return [...rows.keys()].sort((a, b) => a - b).map((rank) => rows.get(rank));
}

/** Where an answer stands, in words: "B, rank 2, tied with D". */
export function standing(ranks, letter) {
  if (!(letter in ranks)) return `${letter}, not ranked`;
  const tied = Object.keys(ranks).filter((one) => one !== letter && ranks[one] === ranks[letter]);
  return `${letter}, rank ${ranks[letter]}${tied.length ? `, tied with ${listed(tied.sort())}` : ""}`;
}

/** "A", "A and B", "A, B and C". */
export function listed(names) {
  return names.length < 2 ? names.join("") : `${names.slice(0, -1).join(", ")} and ${names.at(-1)}`;
}
