'use strict';
// Small line plots in SVG. Everything is made by createElement and textContent: no text of the run is
// ever parsed as HTML.

function make(tag, attributes, ...children) {
  const svg = ['svg', 'g', 'path', 'line', 'circle', 'text', 'rect'].includes(tag);
  const node = svg ? document.createElementNS('http://www.w3.org/2000/svg', tag)
                   : document.createElement(tag);
  for (const [key, value] of Object.entries(attributes || {})) {
    if (value !== null && value !== undefined) node.setAttribute(key, value);
  }
  for (const child of children) node.append(child);
  return node;
}

// 0.0123, 4.56, 12.3k, 1.2e-5.
function number(value, digits = 3) {
  if (value === null || value === undefined || !isFinite(value)) return '–';
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size < 1e-3) return value.toExponential(1).replace('.0e', 'e').replaceAll('-', '−');
  for (const [unit, suffix] of [[1e12, 'T'], [1e9, 'G'], [1e6, 'M'], [1e4, 'k']]) {
    if (size >= unit) return trim((value / (suffix === 'k' ? 1e3 : unit)).toPrecision(digits)) + suffix;
  }
  return trim(size >= 1000 ? value.toFixed(0) : value.toPrecision(digits));
}
function trim(text) {
  const short = text.includes('e') || !text.includes('.') ? text : text.replace(/\.?0+$/, '');
  return short.replace('-', '−');
}
const percent = (value) => value === null ? '–' : trim((100 * value).toFixed(1)) + '%';
// Always with its decimal, so that numbers below each other align.
const percent1 = (value) => value === null ? '–' : (100 * value).toFixed(1) + '%';

// Round numbers that cover [low, high].
function ticks(low, high, count) {
  const rough = (high - low) / count;
  const power = Math.pow(10, Math.floor(Math.log10(rough)));
  const step = [1, 2, 2.5, 5, 10].map((x) => x * power).find((x) => x >= rough * 0.999);
  const out = [];
  for (let i = Math.ceil(low / step - 1e-9); i * step <= high + step * 1e-9; ++i) {
    out.push(Number((i * step).toPrecision(12)));
  }
  return out;
}

// The mean of a value's neighbours on both sides, of weight `weight` to the power of their distance:
// unlike a moving average it does not lag. Gaps stay gaps.
function smooth(values, weight) {
  const sums = values.map(() => 0), masses = values.map(() => 0);
  let sum = 0, mass = 0;
  const visit = (i) => {
    if (values[i] === null) return;
    sums[i] += sum, masses[i] += mass;
    sum = weight * (sum + values[i]), mass = weight * (mass + 1);
  };
  for (let i = 0; i < values.length; ++i) visit(i);
  sum = 0, mass = 0;
  for (let i = values.length; i-- > 0;) visit(i);
  return values.map((value, i) => value === null ? null : (value + sums[i]) / (1 + masses[i]));
}

function extent(values) {
  let low = Infinity, high = -Infinity;
  for (const value of values) {
    if (value === null) continue;
    if (value < low) low = value;
    if (value > high) high = value;
  }
  return [low, high];
}

class Plot {
  // series: {x, y, title, unit, letter, format, zero: whether the axis begins at 0, most: the
  // highest that it can end at, evals: [{step, accuracy, low, high}], steps: the steps that the
  // figure's plots all cover}
  constructor(series, shared) {
    this.series = series;
    this.shared = shared;
    this.value = make('span', {class: 'value'});
    const title = make('h3', {}, make('span', {class: 'letter'}, series.letter), series.title, this.value);
    this.box = make('div', {class: 'drawing'});
    this.node = make('div', {class: 'plot'}, title, make('p', {class: 'unit'}, series.unit), this.box);
    new ResizeObserver(() => this.draw()).observe(this.box);
  }

  scales(width, height) {
    const {y, zero, most, evals, steps} = this.series;
    let [low, high] = extent([...y, ...evals.flatMap((e) => [e.low, e.high, e.accuracy])]);
    if (zero) low = Math.min(low, 0);
    if (high === low) {
      const pad = Math.abs(high) * 0.1 || 1;
      if (!zero || low !== 0) low -= pad;
      high += pad;
    }
    const marks = ticks(low, high, 4), step = marks.length > 1 ? marks[1] - marks[0] : high - low;
    if (marks[0] > low + step * 1e-6) marks.unshift(Number((marks[0] - step).toPrecision(12)));
    if (marks[marks.length - 1] < high - step * 1e-6) {
      marks.push(Number((marks[marks.length - 1] + step).toPrecision(12)));
    }
    low = marks[0];
    high = most ? Math.max(Math.min(marks[marks.length - 1], most), extent(y)[1]) : marks[marks.length - 1];
    let [first, last] = steps;
    if (first === last) { first -= 1; last += 1; }
    const left = 44, right = 10, top = 8, bottom = 22;
    return {
      x: (v) => left + (v - first) / (last - first) * (width - left - right),
      y: (v) => height - bottom - (v - low) / (high - low) * (height - top - bottom),
      yMarks: marks.filter((m) => m <= high * (1 + 1e-9)),
      xMarks: ticks(first, last, width < 340 ? 4 : 6).filter(Number.isInteger),
      left, right: width - right, bottom: height - bottom, top,
    };
  }

  path(values, to) {
    let d = '', pen = 'M';
    values.forEach((value, i) => {
      if (value === null) { pen = 'M'; return; }
      d += pen + to.x(this.series.x[i]).toFixed(1) + ',' + to.y(value).toFixed(1);
      pen = 'L';
    });
    return d;
  }

  draw() {
    const width = this.box.clientWidth, height = 176;
    if (width < 40) return;
    const {x, y, evals, format, title} = this.series;
    const to = this.to = this.scales(width, height);
    const svg = make('svg', {viewBox: `0 0 ${width} ${height}`, height, role: 'img', 'aria-label': title});
    for (const mark of to.yMarks) {
      const at = Math.round(to.y(mark)) + 0.5;
      svg.append(make('line', {class: 'grid', x1: to.left, x2: to.right, y1: at, y2: at}),
                 make('text', {x: to.left - 7, y: at + 4, 'text-anchor': 'end'}, format(mark)));
    }
    svg.append(make('line', {class: 'axis', x1: to.left, x2: to.right, y1: to.bottom + 0.5, y2: to.bottom + 0.5}));
    for (const mark of to.xMarks) {
      const at = Math.round(to.x(mark)) + 0.5;
      svg.append(make('line', {class: 'axis', x1: at, x2: at, y1: to.bottom, y2: to.bottom + 4}),
                 make('text', {x: at, y: to.bottom + 17, 'text-anchor': 'middle'}, number(mark)));
    }
    this.smoothed = smooth(y, this.shared.smoothing);
    svg.append(make('path', {class: 'raw', d: this.path(y, to)}),
               make('path', {class: 'line', d: this.path(this.smoothed, to)}));
    if (x.length === 1) svg.append(make('circle', {class: 'dot', cx: to.x(x[0]), cy: to.y(y[0]), r: 3.5}));
    for (const e of evals) {
      const at = to.x(e.step);
      if (e.low !== null && e.high !== null) {
        svg.append(make('line', {class: 'eval', x1: at, x2: at, y1: to.y(e.low), y2: to.y(e.high)}));
      }
      svg.append(make('circle', {class: 'eval-dot', cx: at, cy: to.y(e.accuracy), r: 3.4}));
    }
    this.cross = make('line', {class: 'cross', y1: to.top, y2: to.bottom, visibility: 'hidden'});
    this.dot = make('circle', {class: 'dot', r: 3.5, visibility: 'hidden'});
    svg.append(this.cross, this.dot);
    svg.addEventListener('pointermove', (e) => this.shared.hover(this.stepAt(e)));
    svg.addEventListener('pointerdown', (e) => this.shared.hover(this.stepAt(e)));
    svg.addEventListener('pointerleave', () => this.shared.hover(null));
    svg.addEventListener('click', (e) => this.shared.pick(this.stepAt(e)));
    this.box.replaceChildren(svg);
    this.showAt(null);
  }

  nearest(step) {
    const {x, y} = this.series;
    let best = -1;
    x.forEach((v, i) => {
      if (y[i] !== null && (best < 0 || Math.abs(v - step) < Math.abs(x[best] - step))) best = i;
    });
    return best;
  }

  stepAt(event) {
    const box = this.box.getBoundingClientRect(), {x} = this.series;
    let best = x[0];
    const at = event.clientX - box.left;
    for (const v of x) if (Math.abs(this.to.x(v) - at) < Math.abs(this.to.x(best) - at)) best = v;
    return best;
  }

  // The value at a step, or the last one.
  showAt(step) {
    if (!this.to) return;
    const {x, y, format} = this.series;
    const i = this.nearest(step === null ? Infinity : step);
    const last = y.length - 1 - [...y].reverse().findIndex((v) => v !== null);
    const at = step === null ? last : i, visibility = step === null || at < 0 ? 'hidden' : 'visible';
    this.value.textContent = at < 0 ? '' : step === null
        ? format(this.smoothed[at]) : `step ${x[at]}: ${format(y[at])}`;
    this.cross.setAttribute('visibility', visibility);
    this.dot.setAttribute('visibility', visibility);
    if (visibility === 'hidden') return;
    this.cross.setAttribute('x1', this.to.x(x[at]));
    this.cross.setAttribute('x2', this.to.x(x[at]));
    this.dot.setAttribute('cx', this.to.x(x[at]));
    this.dot.setAttribute('cy', this.to.y(y[at]));
  }
}
