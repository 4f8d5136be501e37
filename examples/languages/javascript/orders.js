// Reads orders from JSON and reports what each customer spent. An ES module in a plain .js file.
import { strict as assert } from "node:assert";

const json = `[
  {"id": 1, "customer": "Ada", "lines": [{"item": "pen", "cents": 150, "count": 4}]},
  {"id": 2, "customer": "Grace", "lines": [{"item": "ink", "cents": 899, "count": 1},
                                           {"item": "pen", "cents": 150, "count": 2}]},
  {"id": 3, "customer": "Ada", "lines": [{"item": "paper", "cents": 320, "count": 10}]}
]`;

const total = ({ lines }) => lines.reduce((sum, { cents, count }) => sum + cents * count, 0);
const euros = new Intl.NumberFormat("en-IE", { style: "currency", currency: "EUR" });

const orders = JSON.parse(json);
const spent = Object.entries(Object.groupBy(orders, ({ customer }) => customer))
  .map(([customer, theirs]) => ({ customer, cents: theirs.map(total).reduce((a, b) => a + b) }))
  .sort((one, other) => other.cents - one.cents);

for (const { customer, cents } of spent) {
  console.log(`${customer.padEnd(6)} ${euros.format(cents / 100).padStart(8)}`);
}
assert.deepEqual(JSON.parse(JSON.stringify(orders)), orders);
console.log(`${orders.length} orders`);
