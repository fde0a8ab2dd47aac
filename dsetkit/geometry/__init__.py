"""Shapes of one annotation: enclose, measure, move, clip, rasterise. The only room with shapely and pycocotools.

Everything here takes an annotation as a sparse row (a plain dict) and gives a new one; nothing is changed in place.
Coordinates are pixels of the upright picture, origin at the top-left corner of the top-left pixel, so the centre of
that pixel is (0.5, 0.5). Angles are degrees, clockwise as seen on the screen.
"""
