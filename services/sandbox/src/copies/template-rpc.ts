// The wire of TemplateService: one handler per method, in the order of the contract.
import { create } from "@bufbuild/protobuf";
import {
  DeleteTemplateResponseSchema,
  ListTemplatesResponseSchema,
  TemplateService,
} from "@syla/contract/syla/sandbox/v1/template";
import { type Implementation, implement } from "@syla/kit/dispatch";
import { invalidRequest } from "@syla/kit/validate";
import type { Templates } from "./templates.ts";

export function templateRpc(templates: Templates): Implementation {
  return implement(TemplateService, {
    createTemplate: ({ spec }) => {
      // The rules of the contract say that there is one; the type cannot.
      if (spec === undefined) {
        throw invalidRequest([{ pointer: "/spec", detail: "value is required", rule: "required" }]);
      }
      return templates.declare(spec);
    },
    getTemplate: ({ name }) => templates.get(name),
    listTemplates: async (request) => {
      const { items, nextPageToken } = await templates.list(request);
      return create(ListTemplatesResponseSchema, { templates: items, nextPageToken });
    },
    deleteTemplate: async ({ name }) => {
      await templates.remove(name);
      return create(DeleteTemplateResponseSchema);
    },
    watchTemplate: ({ name, after }, context) => templates.watch(name, after, context),
  });
}
