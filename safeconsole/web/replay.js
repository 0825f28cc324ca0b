"use strict";
// A terminal of the few sequences that `tame` lets through: text, movement, erasure, and colour.
// Everything is set as text, never as HTML.
const screen = document.getElementById("screen"), play = document.getElementById("play");
const seek = document.getElementById("seek"), clock = document.getElementById("clock");
const MAX_IDLE = 2, SHOWN_LINES = 2000, TOGETHER_SECONDS = 0.02, COLOURS = ["#555", "#e06c75", "#98c379", "#e5c07b", "#61afef", "#c678dd", "#56b6c2", "#ddd"];
const SEQUENCE = /\x1b\[([0-9;?]*)([A-Za-z])|([\s\S])/gu;

class Terminal {
  constructor() { this.columns = size.columns; this.lines = [[]]; this.row = 0; this.column = 0; this.colour = ""; this.bold = false; }
  line() { while (this.lines.length <= this.row) this.lines.push([]); return this.lines[this.row]; }
  put(character) {
    if (this.column >= this.columns) { this.column = 0; this.row++; }
    const line = this.line();
    while (line.length < this.column) line.push([" ", "", false]);
    line[this.column++] = [character, this.colour, this.bold];
  }
  write(text) {
    for (const [, parameters, final, character] of text.matchAll(SEQUENCE)) {
      if (character === undefined) this.control(parameters, final);
      else if (character === "\n") { this.row++; this.line(); }
      else if (character === "\r") this.column = 0;
      else if (character === "\b") this.column = Math.max(0, this.column - 1);
      else if (character === "\t") this.column = (Math.floor(this.column / 8) + 1) * 8;
      else if (character >= " ") this.put(character);
    }
  }
  control(parameters, final) {
    const numbers = parameters.split(";").map(Number), n = Math.min(numbers[0] || 1, 500);
    switch (final) {
      case "A": this.row = Math.max(0, this.row - n); break;
      case "B": this.row += n; this.line(); break;
      case "C": this.column += n; break;
      case "D": this.column = Math.max(0, this.column - n); break;
      case "G": this.column = n - 1; break;
      case "H": case "f": this.row = n - 1; this.column = Math.min((numbers[1] || 1), 500) - 1; this.line(); break;
      case "K": this.erase(numbers[0]); break;
      case "J":
        if (numbers[0] === 2) { this.lines = [[]]; this.row = 0; this.column = 0; }
        else { this.erase(0); this.lines.length = this.row + 1; }
        break;
      case "m": numbers.forEach((code) => this.style(code)); break;
    }
  }
  erase(what) {
    if (what === 2) this.lines[this.row] = [];
    else if (what === 1) this.line().fill([" ", "", false], 0, this.column + 1);
    else this.line().length = Math.min(this.line().length, this.column);
  }
  style(code) {
    if (code === 0) { this.colour = ""; this.bold = false; }
    else if (code === 1) this.bold = true;
    else if (code >= 30 && code <= 37) this.colour = COLOURS[code - 30];
    else if (code >= 90 && code <= 97) this.colour = COLOURS[code - 90];
    else if (code === 39) this.colour = "";
  }
  show() {
    const nodes = [];
    for (const line of this.lines.slice(-SHOWN_LINES)) {
      let run = null;
      for (const [character, colour, bold] of line) {
        if (!run || run.colour !== colour || run.bold !== bold) {
          run = { colour, bold, node: document.createElement("span") };
          run.node.style.color = colour; run.node.style.fontWeight = bold ? "bold" : "";
          nodes.push(run.node);
        }
        run.node.textContent += character;
      }
      nodes.push(document.createTextNode("\n"));
    }
    screen.replaceChildren(...nodes);
    screen.scrollTop = screen.scrollHeight;
  }
}

let events = [], size = { columns: 80, lines: 24 }, at = 0, terminal = null, playing = true, timer = 0;

function paint() {
  if (terminal) terminal.show();
  seek.value = events.length ? Math.round(at / events.length * 1000) : 0;
  clock.textContent = at ? `${events[at - 1][0].toFixed(1)} s` : "";
  play.textContent = playing ? "Pause" : "Play";
}
function step() {
  if (!playing || at >= events.length) { playing = playing && at < events.length; paint(); return; }
  // What came at once is painted once: a page full of lines is drawn anew each time.
  const began = events[at][0];
  do { terminal.write(events[at][1]); at++; } while (at < events.length && events[at][0] - began < TOGETHER_SECONDS);
  paint();
  const wait = at < events.length ? Math.max(0, Math.min(events[at][0] - events[at - 1][0], MAX_IDLE)) : 0;
  timer = setTimeout(step, wait * 1000);
}
function jump(to) {
  clearTimeout(timer); terminal = new Terminal();
  for (at = 0; at < to; at++) terminal.write(events[at][1]);
  paint(); step();
}
play.addEventListener("click", () => { playing = !playing; if (playing) jump(at >= events.length ? 0 : at); else { clearTimeout(timer); paint(); } });
seek.addEventListener("input", () => jump(Math.round(seek.value / 1000 * events.length)));
fetch(screen.dataset.source).then((answer) => answer.json()).then((found) => {
  events = found.outputs; size = found;
  // What is played may be another file than the one that the page was made from.
  const doubt = document.getElementById("doubt");
  doubt.textContent = found.doubt; doubt.hidden = !found.doubt;
  screen.classList.toggle("doubtful", Boolean(found.doubt));
  screen.style.width = `${size.columns}ch`; screen.style.minHeight = `${size.lines * 1.4}em`;
  jump(0);
})
  .catch(() => { screen.textContent = "The recording cannot be read."; });
