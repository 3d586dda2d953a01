PRESETS: dict[str, str] = {"ppo": "", "ippo": "", "mappo": "", "iql": "", "vdn": "", "qmix": ""}
