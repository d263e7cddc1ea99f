// Tools that all panels use: elements, numbers, times. Data becomes text nodes only, whatever it holds.

export const $ = id => document.getElementById(id);

/// An element with properties (class, dataset, attributes of SVG and ARIA by their names) and children.
export function el(tag, properties, ...children) {
  const e = document.createElement(tag);
  for (const [name, value] of Object.entries(properties || {})) {
    if (value === undefined) continue;
    if (name === 'class') e.className = value;
    else if (name === 'dataset') Object.assign(e.dataset, value);
    else if (name in e && !name.startsWith('aria')) e[name] = value;
    else e.setAttribute(name, value);
  }
  e.append(...children.filter(child => child !== null && child !== undefined));
  return e;
}
export function svg(tag, attributes, ...children) {
  const e = document.createElementNS('http://www.w3.org/2000/svg', tag);
  for (const [name, value] of Object.entries(attributes || {})) e.setAttribute(name, value);
  e.append(...children);
  return e;
}
export const button = (text, action, kind) => el('button', { type: 'button', class: kind ?? 'plain', textContent: text, onclick: action });

const remembered = kind => ({
  // Both stores throw where the browser forbids them; the page then forgets, nothing more.
  get: key => { try { return window[kind].getItem('jdserver.' + key) || ''; } catch (e) { return ''; } },
  set: (key, value) => { try { window[kind].setItem('jdserver.' + key, value); } catch (e) { /* forgotten */ } },
});
export const local = remembered('localStorage'), session = remembered('sessionStorage');

export const whole = n => Math.round(n).toLocaleString('en');
export function bytes(n) {
  const units = ['B', 'KiB', 'MiB', 'GiB', 'TiB'];
  let i = 0;
  while (n >= 1024 && i < units.length - 1) { n /= 1024; i++; }
  return (i && n < 100 ? n.toFixed(1) : Math.round(n)) + ' ' + units[i];
}
/// A rate: three digits, none behind the point from ten on.
export const rate = n => n === 0 ? '0' : n < 10 ? n.toFixed(n < 0.1 ? 2 : 1) : whole(n);
/// A number of seconds in its two largest units, whose names are given from days to seconds.
export function span(s, names) {
  const units = [86400, 3600, 60, 1].map((size, i) => [names[i], size]);
  const at = s < 1 ? 3 : units.findIndex(([, size]) => s >= size);
  const parts = units.slice(at, at + 2).map(([name, size], i) => [name, Math.floor(i ? s % units[at][1] / size : s / size)]);
  return parts.filter(([, n], i) => n || !i).map(([name, n]) => n + ' ' + name).join(' ');
}
const two = (n, width) => String(n).padStart(width || 2, '0');
export const clock = at => two(at.getHours()) + ':' + two(at.getMinutes()) + ':' + two(at.getSeconds());
export const milliseconds = at => '.' + two(at.getMilliseconds(), 3);

/// Runs an action once, a moment after the last time it was asked for.
export function later(ms, action) {
  let due = 0;
  return () => {
    clearTimeout(due);
    due = setTimeout(action, ms);
  };
}
/// Runs an action at most every so many ms, the first time at once; what was asked for meanwhile runs at the end.
export function atMost(ms, action) {
  let due = 0, again = false;
  const run = () => {
    due = setTimeout(() => {
      due = 0;
      if (again) { again = false; run(); }
    }, ms);
    action();
  };
  return () => { if (due) again = true; else run(); };
}
/// Shows how something ended, under a form.
export function result(place, text, bad) {
  place.textContent = text;
  place.classList.toggle('bad', Boolean(bad));
}
