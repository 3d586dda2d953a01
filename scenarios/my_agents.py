"""Agents of your own, to begin from: sim run smart_grid --as 'battery-*=my_agents.py:Saver'"""

import sim


class Saver(sim.Agent):
    """A battery that charges in the cheapest hours of the day and discharges in the dearest."""

    async def run(self):
        async for obs in self.observations():
            prices = sorted(obs.price_day)
            if obs.import_price <= prices[6]:
                self.act(power_kw=-obs.rated_kw)
            elif obs.import_price >= prices[-6]:
                self.act(power_kw=obs.rated_kw)
            else:
                self.act(power_kw=0.0)
