// The API's own page; Swagger UI is a global of the script before this one.

if (typeof SwaggerUIBundle === "undefined") {
  document.getElementById("api").textContent = "This page needs fastapi-offline: pip install 'innerloop[serve]'. What it shows is in openapi.json.";
} else {
  SwaggerUIBundle({ url: "openapi.json", dom_id: "#api", deepLinking: true, validatorUrl: null });
}
