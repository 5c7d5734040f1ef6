"""Documents in, one call of reduction, one result out."""
