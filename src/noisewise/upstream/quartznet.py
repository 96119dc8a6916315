from torch import nn


class QuartzNet(nn.Module):
    pass
