// Active time: it counts while the page is visible and used, and pauses a minute after the last use.

const PAUSE = 60_000;
const USES = ["keydown", "pointerdown", "pointermove", "wheel", "scroll", "input", "focus"];

export class Clock {
  constructor(seconds, show) {
    this.counted = seconds * 1000;
    this.show = show;
    this.used = Date.now();
    this.looked = this.used;
    this.visible = document.visibilityState === "visible";
    for (const use of USES) {
      window.addEventListener(use, () => this.#use(), { passive: true, capture: true });
    }
    document.addEventListener("visibilitychange", () => {
      this.#look();
      this.visible = document.visibilityState === "visible";
      if (this.visible) this.#use();
    });
    setInterval(() => this.#look(), 1000);
    this.#look();
  }

  /** Seconds so far. */
  get seconds() {
    this.#look();
    return Math.round(this.counted / 100) / 10;
  }

  #use() {
    this.#look();
    this.used = Date.now();
  }

  #look() {
    const now = Date.now();
    const until = Math.min(now, this.used + PAUSE);
    if (this.visible && until > this.looked) this.counted += until - this.looked;
    this.looked = now;
    this.show(this.counted / 1000, !this.visible || now > this.used + PAUSE);
  }
}

/** "1:05", "1:00:09". */
export function clockFace(seconds) {
  const whole = Math.floor(seconds);
  const two = (number) => String(number).padStart(2, "0");
  const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
  return hours ? `${hours}:${two(minutes)}:${two(whole % 60)}` : `${minutes}:${two(whole % 60)}`;
}
