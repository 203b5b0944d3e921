"""The tables and figures of I2C."""
