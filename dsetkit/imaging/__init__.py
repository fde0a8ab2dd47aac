"""One picture: decode, upright, measure, transform, encode, draw. The only room with Pillow."""
