// Draws the API's description. Nothing is taken from the page's address but the place to open, and nothing is asked of
// another host: the validator's badge, which would ask one, is off.
globalThis.SwaggerUIBundle({
  url: "/openapi.json",
  dom_id: "#reference",
  deepLinking: true,
  tryItOutEnabled: true,
  displayRequestDuration: true,
  // The schemas are also with the operations that use them; the list of all stays closed.
  defaultModelsExpandDepth: 0,
  validatorUrl: null,
});
