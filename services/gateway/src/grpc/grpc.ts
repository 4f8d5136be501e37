// The public gRPC surface: every published method, and reflection over them. Health is an ordinary service of the
// dispatcher and needs nothing here.
import { createDispatcher, type Dispatcher, mergeDispatchers } from "@syla/kit/dispatch";
import { type GrpcServer, type GrpcServerOptions, startGrpcServer } from "@syla/kit/grpc-server";
import { published } from "../published.ts";
import { reflection } from "./reflection.ts";

/** Starts gRPC over the published methods: on a port of its own if one is given, and on connections injected. */
export function startGrpc(
  dispatcher: Dispatcher,
  options: GrpcServerOptions = {},
): Promise<GrpcServer> {
  const methods = published(dispatcher);
  const served = createDispatcher(reflection(methods.services), []);
  return startGrpcServer(mergeDispatchers([methods, served]), options);
}
