"""The shapes of the published models: the oracle that gin_configs/sizes is compared with."""

from hclx.config import ModelConfig

# Kim et al. 2021, HyperCLOVA, table 1. The shape of 204B was never published; 112 layers of GPT-3's
# width are this project's own choice. The vocabulary is this project's default everywhere.
SIZES = {
    "137m": ModelConfig(n_layers=12, d_model=768, n_heads=16),
    "350m": ModelConfig(n_layers=24, d_model=1_024, n_heads=16),
    "760m": ModelConfig(n_layers=24, d_model=1_536, n_heads=16),
    "1b3": ModelConfig(n_layers=24, d_model=2_048, n_heads=16),
    "6b9": ModelConfig(n_layers=32, d_model=4_096, n_heads=32),
    "13b": ModelConfig(n_layers=40, d_model=5_120, n_heads=40),
    "39b": ModelConfig(n_layers=48, d_model=8_192, n_heads=64),
    "82b": ModelConfig(n_layers=64, d_model=10_240, n_heads=80),
    "204b": ModelConfig(n_layers=112, d_model=12_288, n_heads=96),
}
