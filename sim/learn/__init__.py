"""Central training: rollouts, families of algorithms and the pieces they are made of."""
