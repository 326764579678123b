"""The public name `innerloop.serve.classifier`, of what lives in `innerloop.fewshot` today."""
