// What is counted and timed, for Prometheus to read at /metrics. Names begin with `syla_` and end in their base unit
// (`_seconds`, `_bytes`, `_total`). A name asked for twice is the same metric, so that services sharing a process can
// each declare what they count.
import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from "prom-client";
import { invariant } from "./assert.ts";

/** What every kind of metric is declared by. */
export interface MetricOptions<Label extends string> {
  /** `syla_<what>_<unit>`, lower case. */
  readonly name: string;
  /** One sentence. */
  readonly help: string;
  /** Few values each: every combination is a time series kept in memory. */
  readonly labels?: readonly Label[];
}

export interface HistogramOptions<Label extends string> extends MetricOptions<Label> {
  /** Upper bounds, ascending; default: 0.5 ms to 60 s, for durations in seconds. */
  readonly buckets?: readonly number[];
}

export interface GaugeOptions<Label extends string> extends MetricOptions<Label> {
  /** Called before each reading, to set what is cheaper to ask than to keep. */
  readonly collect?: (gauge: Gauge<Label>) => void;
}

/** The metrics of a process. */
export interface Metrics {
  counter<Label extends string = never>(options: MetricOptions<Label>): Counter<Label>;
  gauge<Label extends string = never>(options: GaugeOptions<Label>): Gauge<Label>;
  histogram<Label extends string = never>(options: HistogramOptions<Label>): Histogram<Label>;
  /** Everything in the Prometheus text format. */
  text(): Promise<string>;
  readonly contentType: string;
}

/** Upper bounds in seconds for durations of calls and runs. */
export const durationBuckets: readonly number[] = [
  0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60,
];

const nameShape = /^syla_[a-z][a-z0-9_]*$/;

// How often the delay of the event loop is looked at, in milliseconds. At prom-client's 10 the process woke 100 times a
// second for it, which took 1% of a processor at rest and 3% of the platform's time for a run under load.
const eventLoopMonitoringPrecision = 100;

/** Makes the metrics of a process; with `processMetrics` (default true) also its CPU, memory and event loop. */
export function createMetrics(options: { readonly processMetrics?: boolean } = {}): Metrics {
  const registry = new Registry();
  if (options.processMetrics !== false) {
    collectDefaultMetrics({ register: registry, eventLoopMonitoringPrecision });
  }
  const registers = [registry];
  return {
    counter: <Label extends string>({ name, help, labels = [] }: MetricOptions<Label>) =>
      declare(registry, name, Counter<Label>, () => {
        return new Counter({ name, help, labelNames: labels, registers });
      }),
    gauge: <Label extends string>({ name, help, labels = [], collect }: GaugeOptions<Label>) =>
      declare(registry, name, Gauge<Label>, () => {
        const gauge: Gauge<Label> = new Gauge({
          name,
          help,
          labelNames: labels,
          registers,
          ...(collect !== undefined && { collect: () => collect(gauge) }),
        });
        return gauge;
      }),
    histogram: <Label extends string>(histogram: HistogramOptions<Label>) => {
      const { name, help, labels = [], buckets = durationBuckets } = histogram;
      return declare(registry, name, Histogram<Label>, () => {
        return new Histogram({ name, help, labelNames: labels, buckets: [...buckets], registers });
      });
    },
    text: () => registry.metrics(),
    contentType: registry.contentType,
  };
}

function declare<Kind extends object>(
  registry: Registry,
  name: string,
  kind: new (...parameters: never[]) => Kind,
  make: () => Kind,
): Kind {
  invariant(nameShape.test(name), `the metric name ${name} has the form syla_<what>_<unit>`);
  const known = registry.getSingleMetric(name);
  if (known === undefined) return make();
  invariant(known instanceof kind, `the metric ${name} is declared with one kind only`);
  return known;
}
