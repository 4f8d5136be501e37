// Areas of shapes, with what TypeScript adds: unions that narrow, an enum, a generic, a class.
type Shape =
  | { kind: "circle"; radius: number }
  | { kind: "rectangle"; width: number; height: number }
  | { kind: "polygon"; points: readonly (readonly [number, number])[] };

enum Unit {
  Metre = "m²",
  Foot = "sq ft",
}

function area(shape: Shape): number {
  switch (shape.kind) {
    case "circle":
      return Math.PI * shape.radius ** 2;
    case "rectangle":
      return shape.width * shape.height;
    case "polygon":
      return Math.abs(
        shape.points.reduce((sum, [x, y], index, points) => {
          const [nextX, nextY] = points[(index + 1) % points.length] ?? [0, 0];
          return sum + (x * nextY - nextX * y) / 2;
        }, 0),
      );
  }
}

function largest<T>(items: readonly T[], measure: (item: T) => number): T | undefined {
  return items.toSorted((one, other) => measure(other) - measure(one))[0];
}

class Report {
  constructor(private readonly unit: Unit) {}

  line(shape: Shape): string {
    return `${shape.kind.padEnd(10)}${area(shape).toFixed(2).padStart(8)} ${this.unit}`;
  }
}

const shapes: Shape[] = [
  { kind: "circle", radius: 2 },
  { kind: "rectangle", width: 3, height: 4.5 },
  { kind: "polygon", points: [[0, 0], [4, 0], [4, 3]] },
];
const report = new Report(Unit.Metre);
for (const shape of shapes) console.log(report.line(shape));
console.log(`largest: ${largest(shapes, area)?.kind}`);
