// The page: what it shows comes from the JSON in #data (src/recipe/report_data.cc).

const data = JSON.parse(document.getElementById('data').textContent);
const $ = (id) => document.getElementById(id);

// A row of buttons of which one is pressed.
function tabs(box, names, onPick) {
  const buttons = names.map((name, i) => {
    const button = make('button', {type: 'button', 'aria-pressed': 'false'}, name);
    button.addEventListener('click', () => pick(i));
    return button;
  });
  const pick = (i) => {
    buttons.forEach((button, j) => button.setAttribute('aria-pressed', String(i === j)));
    onPick(i);
  };
  box.replaceChildren(...buttons);
  return pick;
}

function showHeader() {
  const name = data.name || 'run';
  document.title = name + ' · r1 run';
  $('name').textContent = name;
  const facts = [];
  if (data.version) facts.push('version ' + data.version);
  if (data.seed !== '') facts.push('seed ' + data.seed);
  if (data.stages.length) facts.push(data.stages.map((s) => s.stage).join(' → '));
  $('meta').textContent = facts.join('  ·  ');
  if (data.version) $('made-by').textContent = 'r1 ' + data.version;
  const dark = window.matchMedia('(prefers-color-scheme: dark)');
  const set = (isDark) => {
    document.documentElement.dataset.theme = isDark ? 'dark' : 'light';
    $('theme').textContent = isDark ? 'Light' : 'Dark';
  };
  set(dark.matches);
  dark.addEventListener('change', () => set(dark.matches));
  $('theme').addEventListener('click', () => set(document.documentElement.dataset.theme !== 'dark'));
}

// Before and after, and every evaluation with its interval.
function showResult() {
  const evals = data.evals.filter((e) => e.accuracy !== null);
  if (!evals.length) return;
  $('result').hidden = false;
  const named = (label, of) => evals.filter((e) => e.label === label && of(e)).pop();
  const after = named('after', () => true) || evals[evals.length - 1];
  const before = named('before', (e) => e.stage === after.stage) || evals[0];
  const interval = (e) => e.low === null || e.high === null ? ''
      : ` (95% interval ${percent1(e.low)} to ${percent1(e.high)})`;
  const headline = make('div', {class: 'headline'});
  let text = `Accuracy${after.n ? ` on ${after.n} held-out problems` : ''}`;
  if (before !== after) {
    headline.append(make('b', {}, percent1(before.accuracy)), make('span', {}, '→'));
    text += `, before${interval(before)} and after${interval(after)}.`;
  } else {
    text += interval(after) + '.';
  }
  headline.append(make('b', {class: 'after'}, percent1(after.accuracy)));
  const words = make('div', {}, headline, make('p', {class: 'result-text'}, text));
  const box = make('div', {});
  $('result').replaceChildren(words, box);
  const kept = Math.min(evals.length, 8);  // the first, the last and evenly spaced ones
  const shown = Array.from({length: kept}, (_, i) =>
      evals[kept > 1 ? Math.round(i * (evals.length - 1) / (kept - 1)) : 0]);
  new ResizeObserver(() => box.replaceChildren(forest(shown, box.clientWidth))).observe(box);
}

function evalName(e, manyStages) {
  const at = e.step === null ? '' : `step ${e.step}`;
  const name = e.label === 'step' || !e.label ? at || 'eval' : e.label === 'before' || !at ? e.label : `${e.label}, ${at}`;
  return manyStages && e.stage && e.stage !== e.label ? `${e.stage}: ${name}` : name;
}

// One line an evaluation: its interval on a common axis.
function forest(evals, width) {
  const names = evals.map((e) => evalName(e, new Set(evals.map((other) => other.stage)).size > 1));
  const cut = names.map((n) => n.length > 24 ? n.slice(0, 23) + '…' : n);
  const row = 30, left = 20 + 7.2 * Math.max(...cut.map((n) => n.length)), right = 60;
  const height = evals.length * row + 28, x = (v) => left + v * (width - left - right);
  const svg = make('svg', {viewBox: `0 0 ${width} ${height}`, height, role: 'img', 'aria-label': 'Evaluations'});
  for (const mark of [0, 0.25, 0.5, 0.75, 1]) {
    const at = Math.round(x(mark)) + 0.5, foot = height - 22;
    svg.append(make('line', {class: 'grid', x1: at, x2: at, y1: 2, y2: foot}),
               make('text', {x: at, y: height - 6, 'text-anchor': 'middle'}, percent(mark)));
  }
  evals.forEach((e, i) => {
    const y = i * row + 17;
    svg.append(make('text', {class: 'name', x: 0, y: y + 4}, cut[i]));
    if (e.low !== null && e.high !== null) {
      svg.append(make('line', {class: 'eval', x1: x(e.low), x2: x(e.high), y1: y, y2: y}),
                 ...[e.low, e.high].map((v) => make('line', {class: 'eval', x1: x(v), x2: x(v), y1: y - 5, y2: y + 5})));
    }
    svg.append(make('circle', {class: 'eval-dot', cx: x(e.accuracy), cy: y, r: 5}),
               make('text', {class: 'name', x: width, y: y + 4, 'text-anchor': 'end'}, percent1(e.accuracy)));
  });
  return svg;
}

// field, title, unit; a fraction is shown in percent where it is one.
const kMain = [
  ['accuracy', 'Accuracy', 'of samples; orange: held-out, 95% interval'],
  ['reward', 'Reward', 'mean of a step'],
  ['completion_length', 'Completion length', 'tokens, mean of a step'],
  ['entropy', 'Entropy', 'nats a token'],
  ['loss', 'Loss', ''],
  ['tokens_per_second', 'Speed', 'tokens a second'],
  ['grad_norm', 'Gradient norm', 'before clipping'],
  ['logprob_mismatch', 'Log-probability mismatch', 'tokens whose sampled and trained values differ'],
  ['mixed_groups', 'Mixed groups', 'those with both right and wrong completions'],
];
const kMore = [
  ['reward_std', 'Reward deviation', 'within a step'],
  ['kl', 'KL divergence', 'from the reference, nats a token'],
  ['learning_rate', 'Learning rate', ''],
  ['clip_ratio', 'Clipped', 'tokens whose ratio was clipped'],
  ['unparseable', 'Unparseable', 'completions without an answer'],
  ['truncated', 'Truncated', 'completions that hit the length limit'],
];
const kFractions = new Set(['accuracy', 'mixed_groups', 'clip_ratio', 'unparseable', 'truncated']);
const kFromZero = new Set([...kFractions, 'completion_length', 'tokens_per_second', 'grad_norm',
                           'logprob_mismatch', 'entropy', 'learning_rate', 'reward_std', 'kl']);
const kNoCurve = new Set(['step', 'tokens', 'tokens_sampled', 'tokens_trained', 'seconds']);

const plots = {all: [], shared: {smoothing: 0.8, hover: () => {}, pick: () => {}}};

function showCurves() {
  if (!data.stages.length) return;
  $('curves').hidden = false;
  const {shared} = plots;
  shared.hover = (step) => plots.all.forEach((plot) => plot.showAt(step));
  shared.pick = (step) => browser.goTo(step);
  const choose = tabs($('stages'), data.stages.map((s) => s.stage), drawStage);
  $('stages').hidden = data.stages.length === 1;
  $('smoothing').addEventListener('input', () => {
    shared.smoothing = Number($('smoothing').value);
    plots.all.forEach((plot) => plot.draw());
  });
  const withReward = data.stages.findLastIndex((s) => 'reward' in s.columns);
  choose(withReward >= 0 ? withReward : data.stages.length - 1);
}

function drawStage(index) {
  const stage = data.stages[index], {columns} = stage;
  const x = columns.step, points = x.length;
  plots.shared.smoothing = points < 8 ? 0 : points < 40 ? 0.5 : 0.76;
  $('smoothing').value = plots.shared.smoothing;
  plots.shared.stage = stage.stage;
  // Rows of a stage "eval" are of no training stage: they go with the last that has an accuracy.
  const last = index === data.stages.findLastIndex((s) => 'accuracy' in s.columns);
  const evals = data.evals.filter((e) => e.accuracy !== null && e.step !== null &&
      (e.stage === stage.stage || last && e.stage === 'eval'));
  const steps = extent('accuracy' in columns ? [...x, ...evals.map((e) => e.step)] : x);
  let letter = 0;
  const plot = ([field, title, unit]) => {
    const y = columns[field], [, high] = extent(y);
    const fraction = kFractions.has(field) && high <= 1;
    let hint = unit;
    if (field === 'logprob_mismatch' && stage.mismatches === 0) hint = `0 at each of ${stage.rows} logged steps`;
    if (field === 'accuracy' && !evals.length) hint = 'of samples';
    return new Plot({x, y, title, unit: hint || '\u00a0', letter: String.fromCharCode(97 + letter++ % 26),
                     format: fraction ? percent : number, zero: kFromZero.has(field),
                     most: fraction ? 1 : 0, steps, evals: field === 'accuracy' ? evals : []},
                    plots.shared);
  };
  const there = ([field]) => field in columns && columns[field].some((v) => v !== null);
  const known = new Set([...kMain, ...kMore].map(([field]) => field));
  const others = Object.keys(columns).filter((f) => !known.has(f) && !kNoCurve.has(f))
      .map((f) => [f, f.replaceAll('_', ' '), '']);
  const main = kMain.filter(there).map(plot), more = [...kMore, ...others].filter(there).map(plot);
  plots.all = [...main, ...more];
  $('main-plots').replaceChildren(...main.map((p) => p.node));
  $('more-plots').replaceChildren(...more.map((p) => p.node));
  $('more').hidden = !more.length;
  let caption = `Stage ${stage.stage}, steps ${x[0]} to ${x[points - 1]}. Thin line: as logged; thick: smoothed.`;
  if (points < stage.rows) caption += ` Of ${stage.rows.toLocaleString('en')} rows ${points.toLocaleString('en')}, evenly spaced, are drawn.`;
  if (stage.mismatches) caption += ` Log-probability mismatches in all: ${number(stage.mismatches)}.`;
  if (data.completions.some((c) => c.stage === stage.stage)) {
    caption += ' Click a curve to read what the model wrote at that step.';
  }
  $('curves-caption').textContent = caption;
}

function scaled(value, base, units) {
  let i = 0;
  while (value >= base && i + 1 < units.length) { value /= base; ++i; }
  return trim(value.toPrecision(value >= 100 ? Math.ceil(Math.log10(value + 1)) : 3)) + ' ' + units[i];
}
function duration(seconds) {
  if (seconds < 100) return trim(seconds.toPrecision(3)) + ' s';
  const s = Math.round(seconds), h = Math.floor(s / 3600), m = Math.floor(s / 60) % 60;
  return h ? `${h} h ${m} min` : `${m} min ${s % 60} s`;
}

function showLedger() {
  if (!data.ledger || !data.ledger.stages.length) return;
  $('ledger').hidden = false;
  const names = ['Stage', 'Tokens sampled', 'Tokens trained', 'FLOPs', 'Time', 'Rate', 'Peak memory'];
  const flops = (v) => scaled(v, 1000, ['FLOP', 'kFLOP', 'MFLOP', 'GFLOP', 'TFLOP', 'PFLOP', 'EFLOP', 'ZFLOP']);
  const row = (cost, total) => make('tr', total ? {class: 'total'} : {}, ...[
    cost.stage, cost.tokens_sampled.toLocaleString('en'), cost.tokens_trained.toLocaleString('en'),
    flops(cost.flops), duration(cost.seconds),
    cost.seconds > 0 ? flops(cost.flops / cost.seconds) + '/s' : '–',
    cost.peak_memory > 0 ? scaled(cost.peak_memory, 1024, ['B', 'KiB', 'MiB', 'GiB', 'TiB']) : '–',
  ].map((text) => make('td', {}, text)));
  const rows = data.ledger.stages.map((cost) => row(cost, false));
  if (rows.length > 1) rows.push(row(data.ledger.total, true));
  $('ledger-table').replaceChildren(
      make('thead', {}, make('tr', {}, ...names.map((n) => make('th', {scope: 'col'}, n)))),
      make('tbody', {}, ...rows));
}

// From here on: the browser of completions.
const kDarkest = 4;  // nats: the colour of a token is full at a log-probability of -4 and below
const heat = (logprob) => Math.min(1, Math.max(0, -logprob / kDarkest));
const kFilters = [['All', () => true], ['Correct', (c) => c.correct], ['Wrong', (c) => !c.correct]];

const browser = {
  stage: null, step: null, index: 0, filter: 0,

  start() {
    if (!data.completions.length) return;
    $('completions').hidden = false;
    const choose = tabs($('completion-stages'), data.completions.map((c) => c.stage), (i) => this.open(i));
    $('completion-stages').hidden = data.completions.length === 1;
    const scale = document.querySelector('#legend .scale');
    for (let nats = 0; nats <= kDarkest; ++nats) {
      const text = nats === 0 ? '0' : (nats === kDarkest ? '≤ ' : '') + '−' + nats;
      const cell = make('span', {title: `probability ${percent(Math.exp(-nats))}`}, text);
      cell.style.setProperty('--a', heat(-nats));
      scale.append(cell);
    }
    tabs($('filter'), kFilters.map(([name]) => name), (i) => { this.filter = i; this.draw(); })(0);
    $('step').addEventListener('input', () => this.show(Number($('step').value)));
    $('previous').addEventListener('click', () => this.show(this.index - 1));
    $('next').addEventListener('click', () => this.show(this.index + 1));
    $('cards').addEventListener('pointerover', (e) => this.tip(e));
    $('cards').addEventListener('pointerdown', (e) => this.tip(e));
    $('cards').addEventListener('pointerleave', () => { $('tip').hidden = true; });
    window.addEventListener('scroll', () => { $('tip').hidden = true; }, {passive: true});
    choose(data.completions.length - 1);
  },

  open(i) {
    this.stage = data.completions[i];
    $('step').max = this.stage.shown.length - 1;
    this.show(this.stage.shown.length - 1);
  },

  // Each step is JSON text of its own, read when it is looked at.
  show(index) {
    this.index = Math.min(Math.max(index, 0), this.stage.shown.length - 1);
    this.step = JSON.parse(this.stage.shown[this.index]);
    $('step').value = this.index;
    const {step, count, correct} = this.step;
    $('step-text').replaceChildren(make('b', {}, `step ${step}`),
        `  ·  ${correct} of ${count} correct (${percent(correct / count)})`);
    this.draw();
  },

  goTo(step) {
    const i = data.completions.findIndex((c) => c.stage === plots.shared.stage);
    if (i < 0) return;
    $('completion-stages').children[i].click();
    const steps = this.stage.shown.map((text) => Number(/^\{"step":([-0-9.e+]+)/.exec(text)[1]));
    let best = 0;
    steps.forEach((s, j) => { if (Math.abs(s - step) < Math.abs(steps[best] - step)) best = j; });
    this.show(best);
    $('completions').scrollIntoView({behavior: 'smooth'});
  },

  draw() {
    if (!this.step) return;
    const kept = this.step.completions.filter(kFilters[this.filter][1]);
    const nodes = [];
    this.step.prompts.forEach((prompt, i) => {
      const group = kept.filter((c) => c.prompt === i);
      if (!group.length) return;
      nodes.push(make('div', {class: 'prompt'}, make('pre', {}, prompt)));
      nodes.push(...group.map((c) => card(c, prompt)));
    });
    if (!nodes.length) nodes.push(make('p', {class: 'none'}, 'No such completion among those kept of this step.'));
    $('cards').replaceChildren(...nodes);
    const {completions, count} = this.step, {shown, steps} = this.stage;
    $('completions-caption').textContent =
        `This page keeps ${completions.length} of the ${count} completions of this step, half of them correct ` +
        `where there are enough of both, and ${shown.length} of ${steps} steps; of a long one the beginning ` +
        `and the end. All are in completions/${this.stage.stage}.jsonl. Thinking is dimmed.`;
  },

  tip(event) {
    const token = event.target, tip = $('tip');
    tip.hidden = token.tagName !== 'SPAN' || token.dataset.logprob === undefined;
    if (tip.hidden) return;
    const logprob = Number(token.dataset.logprob);
    tip.textContent = `${JSON.stringify(token.textContent)}\nlog p = ${trim(logprob.toFixed(3))}\np = ${percent(Math.exp(logprob))}`;
    const at = token.getClientRects()[0], box = tip.getBoundingClientRect();
    tip.style.left = Math.max(4, Math.min(at.left, window.innerWidth - box.width - 8)) + 'px';
    tip.style.top = (at.top > box.height + 12 ? at.top - box.height - 6 : at.bottom + 6) + 'px';
  },
};

// Where the thinking is, in characters of the completion: it may have begun in the prompt.
function thinkingRange(text, prompt) {
  const open = text.indexOf('<think>'), close = text.indexOf('</think>');
  const inPrompt = prompt.lastIndexOf('<think>') > prompt.lastIndexOf('</think>');
  if (open < 0 && close < 0 && !inPrompt) return [0, 0];
  const starts = open >= 0 && (close < 0 || open < close) ? open : 0;
  return [starts, close < 0 ? text.length : close + '</think>'.length];
}

function card(c, prompt) {
  const fact = (name, value) => make('span', {}, name + ' ', make('b', {}, value));
  const head = make('header', {}, make('span', {class: c.correct ? 'right' : 'wrong'}, c.correct ? '✓ correct' : '✗ wrong'),
                    fact('reward', number(c.reward)));
  if (c.advantage !== null) head.append(fact('advantage', (c.advantage > 0 ? '+' : '') + number(c.advantage)));
  const names = Object.keys(c.rewards);
  for (const name of names) if (names.length > 1 || c.rewards[name] !== c.reward) head.append(fact(name, number(c.rewards[name])));
  head.append(fact('tokens', c.length.toLocaleString('en')));
  if (c.reason) head.append(make('span', {class: 'reason'}, c.reason));
  const text = make('pre', {class: 'text'});
  const [from, to] = thinkingRange(c.tokens.join(''), prompt);
  let at = 0;
  c.tokens.forEach((token, i) => {
    if (i === c.cut_at && c.left_out) text.append(cutMark(c.left_out));
    const classes = [];
    if (at < to && at + token.length > from) classes.push('thinking');
    const span = make('span', classes.length ? {class: classes.join(' ')} : {}, token);
    const logprob = c.logprobs[i];
    if (logprob !== null) {
      span.dataset.logprob = logprob;
      if (logprob < -0.02) span.style.setProperty('--a', heat(logprob).toFixed(3));
      if (heat(logprob) > 0.25) span.classList.add('hot');
    }
    at += token.length;
    text.append(span);
  });
  if (c.left_out && c.cut_at >= c.tokens.length) text.append(cutMark(c.left_out));
  return make('article', {class: 'panel card'}, head, text);
}

function cutMark(count) {
  return make('em', {class: 'cut'}, ` … ${count.toLocaleString('en')} tokens left out … `);
}

showHeader();
$('empty').hidden = data.stages.length + data.evals.length + data.completions.length > 0;
showResult();
showCurves();
showLedger();
browser.start();
if (data.recipe) {
  $('recipe').hidden = false;
  $('recipe-text').textContent = data.recipe;
}
