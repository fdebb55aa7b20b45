"""A model behind HTTP: predict, explain, search, on one machine or many.

    clearsight serve runs/photos          the studio and REST on 127.0.0.1:8000, described at /docs

launch      `serve`: checks, port, token, and the process until it is stopped; imports no web library itself
app         the routes: predict, explain, search, the card, health, metrics
studio      the routes behind the studio: attack, network, maps, units, patches, the run's pages
looking     what those need: a thread that looks into the network, and drops what nobody waits for
guard       what every request meets first: identity, permission, admission
uploads     from a request to the bytes of images
worker      decoding, the engine, explanations and search, each with its own bound
batching    what gathers single images into batches for the engine
"""
