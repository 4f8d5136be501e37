// The end of an execution whose platform died while it ran.
import { create } from "@bufbuild/protobuf";
import { timestampFromMs } from "@bufbuild/protobuf/wkt";
import {
  type Execution,
  type ExecutionEvent,
  ExecutionEventSchema,
  Execution_Status as Status,
} from "@syla/contract/syla/execution/v1/execution";

/** Makes an execution LOST and answers the event that ends its log. How long it ran is not known. */
export function loseExecution(execution: Execution, number: number, nowMs: number): ExecutionEvent {
  execution.status = Status.LOST;
  execution.errorType = "lost";
  execution.errorMessage = "The platform died while this was running.";
  execution.finishedAt = timestampFromMs(nowMs);
  return create(ExecutionEventSchema, {
    number,
    time: timestampFromMs(nowMs),
    event: { case: "finished", value: execution },
  });
}
