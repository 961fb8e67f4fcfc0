"""Parameter files: YAML to a `Migration`, every problem with its file, line and what is expected."""

from cutover.params.loading import LoadedParams, from_dict, load_params, schema, show

__all__ = ["LoadedParams", "from_dict", "load_params", "schema", "show"]
