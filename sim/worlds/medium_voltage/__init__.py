"""A medium-voltage network with wind, biomass, industry, pumped hydro, and two system operators."""
