// Numbers as text, and how far an axis has to reach.

export function formatted(number) {
  if (number === null || number === undefined || Number.isNaN(number)) return "–";
  if (!Number.isFinite(number)) return number > 0 ? "∞" : "−∞";
  if (number === 0) return "0";
  const size = Math.abs(number);
  const text = size >= 1e5 || size < 1e-3 ? number.toExponential(2) : number.toPrecision(4);
  const plain = text.includes("e") ? text.replace(/\.?0*e\+?/, "e") : String(Number(text));
  return plain.replace("-", "−").replace("e-", "e−");
}

const NOW = -1; // the step of what was measured at no step of a training

export const epochName = (step) => (
  step === NOW ? "as it is now" : step === 0 ? "before training" : `epoch ${step}`
);

// The same beside the last one, which says how far the training has come.
export function epochOf(step, last) {
  if (step === NOW) return epochName(step);
  if (step > 0) return `epoch ${step} of ${last}`;
  return last > 0 ? `before training, 0 of ${last}` : "before training";
}

// From the least to the largest; a few extreme values do not count. fixed_point.py rounds to a part of it.
export function reach(values) {
  const sorted = Float32Array.from(values).filter(Number.isFinite).sort();
  if (!sorted.length) return null;
  const last = sorted.length - 1;
  const [low, high] = [sorted[0], sorted[last]];
  const [coreLow, coreHigh] = [sorted[Math.round(0.01 * last)], sorted[Math.round(0.99 * last)]];
  const core = coreHigh - coreLow;
  if (core > 0 && core < (high - low) / 6) return [coreLow - core / 2, coreHigh + core / 2];
  return [low, high];
}

// From the least to the largest.
export function extent(values) {
  const known = Array.from(values).filter(Number.isFinite);
  return known.length ? [Math.min(...known), Math.max(...known)] : null;
}

// Room on a logarithmic axis; what lies more than four decades below the top is flat.
export function paddedDecades(range) {
  if (!range) return [1e-3, 1];
  const top = 2 * range[1];
  return [Math.max(range[0] / 2, top / 1e4), top];
}

export function union(...ranges) {
  const known = ranges.filter(Boolean);
  if (!known.length) return null;
  return [Math.min(...known.map((r) => r[0])), Math.max(...known.map((r) => r[1]))];
}

// Room around what is drawn; something to see where all values are the same.
export function padded(range, share = 0.06) {
  if (!range) return [-1, 1];
  const [low, high] = range;
  const width = high - low;
  const room = width > 1e-6 * Math.max(Math.abs(low), Math.abs(high))
    ? share * width : 0.1 * Math.abs(low) || 1;
  return [low - room, high + room];
}

// The next larger number of two digits.
export function roundedUp(number) {
  const unit = 10 ** (Math.floor(Math.log10(number)) - 1);
  return Number((Math.ceil(number / unit - 1e-6) * unit).toPrecision(2));
}

// How many of the sorted `values` lie in each of `count` equal parts of the range, as shares.
export function shares(values, [low, high], count) {
  const bins = new Float64Array(count);
  let inside = 0;
  for (const value of values) {
    const bin = Math.floor(((value - low) / (high - low)) * count);
    if (bin < 0 || bin > count || Number.isNaN(bin)) continue;
    bins[Math.min(bin, count - 1)] += 1 / values.length;
    inside += 1;
  }
  return { bins, outside: values.length - inside };
}

export const quantile = (sorted, share) => sorted[Math.round(share * (sorted.length - 1))];
