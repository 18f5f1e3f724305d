"""Other systems that an agency connects: Zapier, Salesforce, HubSpot, real-estate portals."""
