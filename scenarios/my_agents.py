"""Agents of your own, to begin from: sim run smart_grid --as 'battery-*=my_agents.py:Saver'"""

import sim


class Saver(sim.Agent):
    """A battery that charges in the cheapest hours of the day and discharges in the dearest; or a
    household that lets what can wait wait until the dearest hours are over.
    """

    async def run(self):
        async for obs in self.observations():
            prices = sorted(obs.price_day)
            is_cheap, is_dear = obs.import_price <= prices[6], obs.import_price >= prices[-6]
            if hasattr(obs, "backlog_kwh"):
                self.act(serve_kw=0.0 if is_dear else self.action_space.high[0])
            elif is_cheap:
                self.act(power_kw=-obs.rated_kw)
            elif is_dear:
                self.act(power_kw=obs.rated_kw)
            else:
                self.act(power_kw=0.0)
