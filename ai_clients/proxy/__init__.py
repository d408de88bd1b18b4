"""The pass-through proxy: programs of any language call a provider by it with a service token, and are recorded."""
