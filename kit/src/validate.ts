// Holds every request against the rules of the contract (buf.validate), on every surface, because every call passes
// the interceptor chain. A broken rule names its field by JSON pointer.
import type { DescMessage, DescMethod, Message } from "@bufbuild/protobuf";
import { createValidator, type Violation as RuleViolation } from "@bufbuild/protovalidate";
import type { Interceptor, StreamCall, UnaryCall } from "./dispatch.ts";
import { SylaError, type Violation } from "./error.ts";
import { plainCheck } from "./plainly-valid.ts";

const violationsMax = 20;

type Path = RuleViolation["field"];

/** The JSON pointer (RFC 6901) of a path into a message, in the names that JSON uses. */
function pointerOf(path: Path): string {
  const parts = path.flatMap((step) => {
    switch (step.kind) {
      case "field":
        return [step.jsonName];
      case "oneof":
        return [];
      case "list_sub":
        return [String(step.index)];
      case "map_sub":
        return [String(step.key)];
      case "extension":
        return [step.typeName];
      default:
        return [];
    }
  });
  return parts.map((part) => `/${part.replaceAll("~", "~0").replaceAll("/", "~1")}`).join("");
}

function toViolation(violation: RuleViolation): Violation {
  return {
    pointer: pointerOf(violation.field),
    detail: violation.message,
    rule: violation.ruleId,
  };
}

/** The error for a request with wrong fields. */
export function invalidRequest(violations: readonly Violation[]): SylaError {
  const [first] = violations;
  const where = first === undefined || first.pointer === "" ? "the request" : first.pointer;
  return new SylaError(
    "invalid_request",
    `Cannot accept ${where}: ${first?.detail ?? "it is wrong"}.`,
    {
      violations: violations.slice(0, violationsMax),
    },
  );
}

/** The interceptor that refuses requests which break the contract's rules. */
export function validation(): Interceptor {
  const validator = createValidator();
  const checkOf = (schema: DescMessage) => {
    const isPlainlyValid = plainCheck(schema);
    return (message: Message): void => {
      if (!isPlainlyValid(message)) validate(schema, message);
    };
  };
  const validate = (schema: DescMessage, message: Message): void => {
    const result = validator.validate(schema, message);
    if (result.kind === "valid") return;
    if (result.kind === "invalid") throw invalidRequest(result.violations.map(toViolation));
    throw result.error;
  };
  return {
    name: "validation",
    unary: (method: DescMethod, next: UnaryCall): UnaryCall => {
      const check = checkOf(method.input);
      return (request, context) => {
        check(request);
        return next(request, context);
      };
    },
    stream: (method: DescMethod, next: StreamCall): StreamCall => {
      const check = checkOf(method.input);
      return (request, context) => {
        if (Symbol.asyncIterator in request) return next(checkEach(request, check), context);
        check(request);
        return next(request, context);
      };
    },
  };
}

async function* checkEach(
  messages: AsyncIterable<Message>,
  check: (message: Message) => void,
): AsyncGenerator<Message> {
  for await (const message of messages) {
    check(message);
    yield message;
  }
}
