// What the gateway shows the world: every service but those that only other services call.
import type { Dispatcher } from "@syla/kit/dispatch";
import { isInternal } from "@syla/kit/policy";

/** The dispatcher without internal services: their methods cannot be named on any surface. */
export function published(dispatcher: Dispatcher): Dispatcher {
  const services = dispatcher.services.filter((service) => !isInternal(service));
  const names = new Set(services.map((service) => service.typeName));
  return {
    services,
    method: (path) => {
      const service = path.slice(1, path.lastIndexOf("/"));
      return names.has(service) ? dispatcher.method(path) : undefined;
    },
  };
}
